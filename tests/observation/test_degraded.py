"""The degraded background against direct calculation, and its operators' adjoints."""

import numpy as np
import pytest
import torch
from torch import Tensor

from slams.errors import SlamsError
from slams.observation import BlockMean, EveryNth, Identity, Masked, Observation
from slams.observation.degraded import degrade

SHAPE = (5, 2, 12, 24)  # step, level, latitude, longitude
TIMES = np.datetime64("2001-01-01", "ns") + np.arange(5) * np.timedelta64(1, "D")
OPERATORS = [
    Identity(),
    BlockMean(1),
    BlockMean(3),
    BlockMean(4),
    EveryNth(1),
    EveryNth(4),
    EveryNth(5),
    EveryNth(4, 0),
    EveryNth(4, 3),
]


def fields(*leading: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*leading, *SHAPE, generator=generator)


def assert_adjoint(operator, batch: int = 2) -> None:
    """<H x, y> = <x, H' y> for the H' that differentiation gives, which is H's if H is linear."""
    x, start = fields(batch, seed=1), fields(batch, seed=2).double().requires_grad_()
    image = operator(start)
    y = torch.randn(image.shape, generator=torch.Generator().manual_seed(3)).double()
    (transposed,) = torch.autograd.grad(image, start, y)
    left = (operator(x.double()) * y).sum()
    assert float(left) == pytest.approx(float((x * transposed).sum()), rel=1e-9)
    # x and the place of differentiation differ: only a linear operator passes.
    torch.testing.assert_close(operator(3 * x) - operator(x), 2 * operator(x))


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_the_operators_and_their_gradients_are_adjoint(operator):
    assert_adjoint(operator)


def test_so_is_a_mask():
    value = BlockMean(2)(fields(1))[0]
    value[torch.rand(value.shape, generator=torch.Generator().manual_seed(4)) < 0.5] = torch.nan
    observation = Observation(BlockMean(2), value, 1.0, TIMES)
    assert 0 < len(observation) < value.numel()
    assert_adjoint(observation.predict)


def test_block_means_are_those_of_numpy():
    x = fields(3)
    direct = x.numpy().reshape(3, 5, 2, 4, 3, 8, 3).mean((4, 6))
    np.testing.assert_allclose(BlockMean(3)(x), direct, atol=1e-6)


def test_every_nth_cell_begins_half_a_step_in():
    x = fields(1)
    assert torch.equal(EveryNth(4)(x), x[..., 2::4, 2::4])
    assert torch.equal(EveryNth(5)(x), x[..., 2::5, 2::5])
    assert torch.equal(EveryNth(4, 0)(x), x[..., ::4, ::4])
    assert torch.equal(EveryNth(1)(x), x)


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_positions_are_where_the_operator_sees(operator):
    """The operators are linear: what they see of the row's number is the row they see."""
    rows, columns = SHAPE[-2:]
    row, column = operator.positions(rows, columns)
    grid = torch.meshgrid(torch.arange(float(rows)), torch.arange(float(columns)), indexing="ij")
    seen = operator(torch.stack(grid)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(seen[0], np.broadcast_to(row[:, None], seen[0].shape), atol=1e-5)
    np.testing.assert_allclose(seen[1], np.broadcast_to(column, seen[1].shape), atol=1e-5)


def test_a_factor_that_does_not_fit_names_the_key():
    with pytest.raises(SlamsError, match=r"5 cells do not divide a grid of 12 x 24; .*coarse axis"):
        BlockMean(5)(fields(1))
    with pytest.raises(SlamsError, match=r"every 13-th cell of a grid of 12 rows.*sparse axis"):
        EveryNth(13)(fields(1))


@pytest.mark.parametrize(("every", "seen"), [(1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (4, [0, 4])])
def test_the_steps_between_are_missing(every, seen):
    truth = fields().numpy()
    observation = degrade(truth, BlockMean(2), TIMES, noise=0.1, every=every)
    unseen = [step for step in range(5) if step not in seen]
    assert torch.isfinite(observation.full[seen]).all()
    assert torch.isnan(observation.full[unseen]).all()
    assert len(observation) == len(seen) * 2 * 6 * 12


def test_the_errors_are_of_the_size_that_is_stated():
    truth = fields().numpy()
    observation = degrade(truth, Identity(), TIMES, noise=0.5, seed=7)
    error = (observation.full - torch.from_numpy(truth)).numpy()
    assert error.std() == pytest.approx(0.5, rel=0.05)
    assert abs(error.mean()) < 0.03
    assert torch.equal(observation.variance(fields(1)), torch.full((1, truth.size), 0.25))
    assert observation.name == "background"


def test_the_draws_depend_on_the_seed_alone():
    def errors(truth: Tensor, seed: int, noise: float, every: int = 1) -> np.ndarray:
        seen = degrade(truth.numpy(), BlockMean(2), TIMES, noise=noise, every=every, seed=seed)
        return ((seen.full - BlockMean(2)(truth[None])[0]) / noise).numpy()

    first = errors(fields(seed=1), 11, 0.1)
    np.testing.assert_allclose(first, errors(fields(seed=2), 11, 2.0), atol=1e-4)
    np.testing.assert_allclose(first[::2], errors(fields(), 11, 0.1, every=2)[::2], atol=1e-4)
    assert abs(np.corrcoef(first.ravel(), errors(fields(), 12, 0.1).ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("noise", [0.0, -1.0, float("nan")])
def test_a_background_without_error_is_refused(noise):
    with pytest.raises(SlamsError, match="error must be positive"):
        degrade(fields().numpy(), Identity(), TIMES, noise=noise)


@pytest.mark.parametrize("seen", [np.ones(12), np.zeros((12, 24)), np.ones((1, 2, 12, 24))])
def test_a_mask_must_be_of_cells_and_see_something(seen):
    with pytest.raises(SlamsError, match=r"a mask of shape .* see something"):
        Masked(seen)


def test_a_mask_that_does_not_fit_is_told():
    for shape in [(12, 12), (3, 12, 24)]:
        with pytest.raises(SlamsError, match=r"does not fit fields of \(2, 12, 24\)"):
            Masked(np.ones(shape))(fields(1))


def test_fields_that_are_not_whole_are_refused():
    broken = fields().numpy().copy()
    broken[1, 0, 3, 4] = np.nan
    with pytest.raises(SlamsError, match=r"stream background: .* missing or infinite cells: give"):
        degrade(broken, Identity(), TIMES, noise=0.1)
    with pytest.raises(SlamsError, match=r"shape \(4, 2, 12, 24\), expected \(5, 2, 12, 24\)"):
        degrade(broken[:4], Identity(), TIMES, noise=0.1)


@pytest.mark.parametrize(
    "make", [lambda: BlockMean(0), lambda: EveryNth(0), lambda: EveryNth(4, -1)]
)
def test_operators_of_no_cell_are_refused(make):
    with pytest.raises(SlamsError, match="at least 1"):
        make()
