"""Sums of streams: adjoints, gradients, and missing values that change nothing, to the sample."""

import numpy as np
import pytest
import torch
from torch import Tensor
from worlds import GRID, LEVELS, SHAPE, IdealPrior, days, statistics, thermometers, weather

from slams.observation import (
    BlockMean,
    EveryNth,
    Identity,
    Masked,
    Observation,
    Observations,
    Points,
)
from slams.observation.imagery import ImageryModel, ImageryNetwork, ImageryOperator
from slams.observation.persistence import PersistenceOperator
from slams.observation.stations import StationOperator
from slams.posterior import sample
from slams.statistics import Normalisation

STEPS = 2
TIMES = days("2003-04-01", STEPS)
NORMALISATION = Normalisation(statistics())
LAND = np.random.default_rng(1).random(GRID.shape) < 0.4
PLACES = np.degrees(np.arcsin(np.linspace(-1, 1, 20))), np.linspace(0, 359, 20)


def imagery() -> ImageryOperator:
    torch.manual_seed(2)
    network = ImageryNetwork(len(LEVELS), width=8).eval().requires_grad_(False)
    season = np.full((1, 1, *GRID.shape), 250.0)
    model = ImageryModel(network, ("irwin_cdr",), season, np.array([10.0]))
    return ImageryOperator(model, NORMALISATION, TIMES)


def persistence() -> PersistenceOperator:
    slope = np.random.default_rng(3).uniform(0.2, 1, (len(LEVELS), 4))
    return PersistenceOperator(2, slope, np.random.default_rng(4).random((STEPS, 3, 4, 8)))


LINEAR = {
    "identity": Identity(),
    "block mean": BlockMean(4),
    "every n-th": EveryNth(3),
    "mask": Masked(LAND),
    "mask of block means": Masked(LAND[:4, :8], BlockMean(2)),
    "points": Points(GRID, *PLACES),
    "stations": StationOperator(thermometers(*PLACES), NORMALISATION, TIMES).double(),
    "persistence": persistence().double(),
}


def states(batch: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, STEPS, *SHAPE, generator=generator, dtype=torch.float64)


def observed(operator, name: str = "background", share: float = 0.3, **more) -> Observation:
    """What a state looks like, a ``share`` of it missing."""
    with torch.no_grad():
        value = operator(states(1, seed=9).to(more.pop("dtype", torch.float64)))[0].float()
    missing = torch.rand(value.shape, generator=torch.Generator().manual_seed(5)) < share
    value[missing] = torch.nan
    return Observation(operator, value, more.pop("variance", 0.25), TIMES, name)


def assert_adjoint(predict) -> None:
    """<(H(x) - H(0)), y> = <x, H' y>, with H' from automatic differentiation."""
    x, start = states(2, seed=1), states(2, seed=2).requires_grad_()
    image = predict(start)
    y = torch.randn(image.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (transposed,) = torch.autograd.grad(image, start, y)
    left = float(((predict(x) - predict(torch.zeros_like(x))) * y).sum())
    assert left == pytest.approx(float((x * transposed).sum()), rel=1e-10)


@pytest.mark.parametrize("kind", LINEAR)
def test_every_linear_operator_is_the_adjoint_of_its_gradient(kind):
    assert LINEAR[kind].affine
    assert_adjoint(LINEAR[kind])
    assert_adjoint(observed(LINEAR[kind]).predict)


def test_so_is_their_sum_over_streams_and_times():
    together = Observations([observed(operator, name) for name, operator in LINEAR.items()])
    assert len(together) == sum(map(len, together)) > 1000
    assert_adjoint(together.predict)


def test_the_gradient_of_a_sum_with_imagery_is_its_change():
    together = observed(LINEAR["points"]) + observed(imagery().double(), "imagery")
    assert not getattr(imagery(), "affine", False)
    x = states(1).requires_grad_()
    assert torch.autograd.gradcheck(together.predict, x, fast_mode=True)
    # And direction by direction, by central differences.
    direction = states(1, seed=4)
    y = torch.randn(len(together), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((together.predict(x)[0] * y).sum(), x)
    h = 1e-5
    with torch.no_grad():
        ahead, behind = together.predict(x + h * direction), together.predict(x - h * direction)
        change = (ahead - behind)[0] / (2 * h)
    assert float(change @ y) == pytest.approx(float((gradient * direction).sum()), rel=1e-6)


@pytest.mark.parametrize("stand_in", [0.0, -5.0, 1e30, float("inf"), float("nan")])
def test_what_stands_for_a_missing_value_changes_nothing_to_the_last_bit(stand_in):
    """Through prediction, error and a whole ensemble of every kind of stream."""
    operators = {
        "background": BlockMean(2),
        "masked": Masked(LAND),
        "stations": StationOperator(thermometers(*PLACES), NORMALISATION, TIMES),
        "imagery": imagery(),
    }

    def streams(marker: float) -> Observations:
        made = []
        for name, operator in operators.items():
            plain = observed(operator, name, dtype=torch.float32)
            mask = torch.isfinite(plain.full)
            value = torch.where(mask, plain.full, marker)
            variance = torch.where(mask, 0.25, marker)
            error = operator.variance if name == "imagery" else variance
            made.append(Observation(operator, value, error, TIMES, name, mask=mask))
        return Observations(made)

    expected, found = streams(float("nan")), streams(stand_in)
    x = torch.from_numpy(weather(2 * STEPS, seed=6)).view(2, STEPS, *SHAPE)
    assert len(found) == len(expected) < sum(s.full.numel() for s in expected)
    assert torch.equal(found.value, expected.value)
    assert torch.equal(found.predict(x), expected.predict(x))
    assert torch.equal(found.variance(x), expected.variance(x))
    ensembles = [
        sample(IdealPrior(STEPS), one, 3, steps=6, seed=1, sigma_max=20.0)
        for one in (expected, found)
    ]
    np.testing.assert_array_equal(*ensembles)
    assert np.isfinite(ensembles[0]).all()


def test_a_mask_sees_its_cells_alone():
    x = states(2)
    assert torch.equal(Masked(LAND)(x), x[..., torch.from_numpy(LAND)])
    levels = np.stack([LAND, ~LAND, np.zeros_like(LAND)])
    assert torch.equal(Masked(levels)(x), x[..., torch.from_numpy(levels)])
    coarse = LAND[:4, :8]
    expected = BlockMean(2)(x)[..., torch.from_numpy(coarse)]
    assert torch.equal(Masked(coarse, BlockMean(2))(x), expected)
