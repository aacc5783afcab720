"""The imagery operator: missing pixels, its likelihood, its season, its pairing by time."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn
from worlds import GRID, LEVELS, days, statistics, weather

from slams.errors import SlamsError
from slams.observation.imagery import (
    VARIANCE_RANGE,
    ImageryModel,
    ImageryNetwork,
    ImageryOperator,
    context,
    fit_season,
    likelihood_loss,
    observe,
)
from slams.statistics import Normalisation, year_fraction

CELLS = GRID.shape
TIMES = days("2001-03-30", 3)
NORMALISATION = Normalisation(statistics())
INPUTS = 2 * len(LEVELS) + 3


class Constant(nn.Module):
    """A network that answers the same everywhere."""

    def __init__(self, mean: float, log_variance: float) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.tensor([mean, log_variance]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        ones = torch.ones_like(x[:, :1])
        return self.answer[0] * ones, self.answer[1] * ones


def model(seed: int = 0) -> ImageryModel:
    torch.manual_seed(seed)
    network = ImageryNetwork(len(LEVELS), width=8, depth=2)
    network.eval().requires_grad_(False)
    season = np.stack([np.full(CELLS, 260.0), np.full(CELLS, 5.0), np.full(CELLS, -3.0)])
    return ImageryModel(network, ("irwin_cdr",), season[None], np.array([10.0]))


def image(times: np.ndarray, values: np.ndarray) -> xr.DataArray:
    return xr.DataArray(
        values,
        dims=("time", "latitude", "longitude"),
        coords={"time": times, "latitude": GRID.latitude, "longitude": GRID.longitude},
        name="brightness_temperature",
    )


def images(times: np.ndarray, values: np.ndarray, channel: str = "irwin_cdr") -> xr.DataArray:
    """One channel's images (time, channel, latitude, longitude)."""
    return image(times, values).expand_dims(channel=[channel], axis=1)


def test_the_loss_is_the_gaussian_likelihood():
    target = torch.randn(2, 1, *CELLS, generator=torch.Generator().manual_seed(0))
    loss = likelihood_loss(Constant(0.5, np.log(4.0)), torch.zeros(2, INPUTS, *CELLS), target)
    normal = torch.distributions.Normal(0.5, 2.0)
    expected = -(normal.log_prob(target) + 0.5 * np.log(2 * np.pi)).mean()
    torch.testing.assert_close(loss, expected)


def test_missing_pixels_count_for_nothing():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(2, 1, *CELLS, generator=generator)
    missing = torch.rand(target.shape, generator=generator) < 0.5
    x = torch.randn(2, INPUTS, *CELLS, generator=generator)
    seen_alone = torch.where(missing, torch.nan, target)
    network = ImageryNetwork(len(LEVELS), width=8)
    results = []
    for scramble in (0.0, 1e3):
        # What the network is asked where nothing was seen does not matter either.
        loss = likelihood_loss(network, x + scramble * missing, seen_alone)
        results.append([loss, *torch.autograd.grad(loss, list(network.parameters()))])
    for one, other in zip(*results, strict=True):
        assert torch.isfinite(one).all()
        torch.testing.assert_close(one, other)
    mean, log_variance = network(x)
    each = 0.5 * (log_variance + (target - mean) ** 2 / log_variance.exp())
    torch.testing.assert_close(results[0][0], each[~missing].mean())
    nothing = likelihood_loss(network, x, torch.full_like(target, torch.nan))
    assert nothing.item() == 0.0


def test_the_network_learns_the_error_by_maximum_likelihood():
    """At the minimum the mean and variance are those of the targets."""
    target = 0.7 + 1.5 * torch.randn(8, 1, *CELLS, generator=torch.Generator().manual_seed(1))
    network = Constant(0.0, 0.0)
    optimiser = torch.optim.LBFGS(network.parameters(), max_iter=50)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = likelihood_loss(network, torch.zeros(8, INPUTS, *CELLS), target)
        loss.backward()
        return loss

    optimiser.step(closure)
    mean, log_variance = network.answer.tolist()
    assert mean == pytest.approx(float(target.mean()), abs=1e-3)
    assert np.exp(log_variance) == pytest.approx(float(target.var()), rel=1e-2)


def test_every_cell_is_seen_by_itself_and_the_variance_is_bounded():
    network = ImageryNetwork(len(LEVELS), width=8)
    x = 100 * torch.randn(1, INPUTS, *CELLS, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[..., 3, 5] += 1.0
    (mean, log_variance), (mean2, log_variance2) = network(x), network(other)
    changed = (mean != mean2) | (log_variance != log_variance2)
    assert changed.nonzero().tolist() == [[0, 0, 3, 5]]
    assert VARIANCE_RANGE[0] <= log_variance.min().item()
    assert log_variance.max().item() <= VARIANCE_RANGE[1]


def test_the_context_is_the_reference_the_latitude_and_the_season():
    found = context(NORMALISATION, TIMES).numpy()
    assert found.shape == (3, len(LEVELS) + 3, *CELLS)
    data = NORMALISATION.dataset
    reference = NORMALISATION.reference(TIMES)[1, 2]
    scaled = (reference - float(data["global_mean"][2])) / float(
        data["global_standard_deviation"][2]
    )
    np.testing.assert_allclose(found[1, 2], scaled, rtol=1e-5)
    np.testing.assert_allclose(found[:, -3, :, 0], [np.sin(np.radians(GRID.latitude))] * 3, 1e-6)
    angle = 2 * np.pi * year_fraction(TIMES)
    np.testing.assert_allclose(found[:, -2, 0, 0], np.cos(angle), atol=1e-6)
    np.testing.assert_allclose(found[:, -1, 5, 7], np.sin(angle), atol=1e-6)


def test_the_operator_is_the_network_in_the_windows_context():
    fitted = model()
    operator = ImageryOperator(fitted, NORMALISATION, TIMES)
    x = torch.from_numpy(weather(6, seed=1)).view(2, 3, len(LEVELS), *CELLS)
    mean, variance = operator(x), operator.variance(x)
    assert mean.shape == variance.shape == (2, 3, 1, *CELLS)
    around = context(NORMALISATION, TIMES)
    for member in range(2):
        for step in range(3):
            inputs = torch.cat([x[member, step], around[step]])[None]
            direct, log_variance = fitted.network(inputs)
            torch.testing.assert_close(mean[member, step], direct[0])
            torch.testing.assert_close(variance[member, step], log_variance[0].exp())


def test_the_operators_gradient_is_its_change():
    operator = ImageryOperator(model(), NORMALISATION, TIMES).double()
    x = torch.from_numpy(weather(3, seed=1))[None].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: operator(v)[0, 1, 0, 3, 4], x, fast_mode=True)


def test_the_season_is_found_in_spite_of_missing_pixels():
    times = days("2001-01-01", 730)
    angle = 2 * np.pi * year_fraction(times)[:, None, None]
    rng = np.random.default_rng(0)
    base = rng.uniform(200, 300, CELLS)
    values = base + 12 * np.cos(angle) - 4 * np.sin(angle) + 3 * rng.standard_normal((730, *CELLS))
    values[rng.random(values.shape) < 0.4] = np.nan
    values[:, 2, 3] = np.nan
    pieces = [image(times[:300], values[:300]), image(times[300:], values[300:])]
    season, scale = fit_season(pieces, harmonics=1)
    assert np.isnan(season[:, 2, 3]).all()
    known = np.isfinite(season[0])
    assert known.sum() == GRID.shape[0] * GRID.shape[1] - 1
    assert np.abs(season[0] - base)[known].max() < 1
    assert np.abs(season[1] - 12)[known].max() < 1.2
    assert np.abs(season[2] + 4)[known].max() < 1.2
    assert scale == pytest.approx(3, rel=0.02)


def test_imagery_that_shows_nothing_is_an_error_that_names_the_archive():
    times = days("2001-01-01", 20)
    nothing = image(times, np.full((20, *CELLS), np.nan))
    for pieces in ([nothing], []):
        with pytest.raises(SlamsError, match=r"archives.imagery: no pixel of irwin_cdr was seen"):
            fit_season(pieces, harmonics=0)
    with pytest.raises(SlamsError, match=r"archives.imagery: .* does not vary"):
        fit_season([image(times, np.full((20, *CELLS), 250.0))], harmonics=0)


def test_images_are_paired_by_time():
    times = days("2001-03-25", 12)
    values = 250 + np.arange(12.0)[:, None, None] * np.ones((12, *CELLS))
    values[:, 0, 0] = np.nan
    # Neither order nor place counts, and 31 March is missing.
    shuffled = [i for i in (9, 2, 5, 0, 11, 7, 4, 1, 3, 8, 10, 6) if times[i] != TIMES[1]]
    fitted = model()
    observation = observe(images(times[shuffled], values[shuffled]), fitted, NORMALISATION, TIMES)
    assert observation.name == "imagery"
    assert torch.isnan(observation.full[1]).all()
    assert len(observation) == 2 * (CELLS[0] * CELLS[1] - 1)
    angle = 2 * np.pi * year_fraction(TIMES)
    season = 260 + 5 * np.cos(angle) - 3 * np.sin(angle)
    for step, brightness in ((0, 255.0), (2, 257.0)):
        expected = (brightness - season[step]) / 10
        np.testing.assert_allclose(observation.full[step].flatten()[1:], expected, rtol=1e-4)
        assert torch.isnan(observation.full[step, 0, 0, 0])


@pytest.mark.parametrize("wrong", [-20.0, 139.0, 376.0, float("inf")])
def test_a_pixel_that_is_no_temperature_is_told(wrong):
    values = np.full((3, *CELLS), 255.0)
    values[1, 2, 3] = wrong
    values[1, 2, 4] = np.nan
    with pytest.raises(
        SlamsError, match=r"stream imagery: 1 values of irwin_cdr are impossible, .* NaN$"
    ):
        observe(images(TIMES, values), model(), NORMALISATION, TIMES)


def test_images_of_other_cells_are_told():
    part = images(TIMES, np.full((3, *CELLS), 255.0)).isel(longitude=slice(0, 8))
    with pytest.raises(SlamsError, match="longitudes are not those of the state: regrid"):
        observe(part, model(), NORMALISATION, TIMES)
    turned = images(TIMES, np.full((3, *CELLS), 255.0)).isel(latitude=slice(None, None, -1))
    with pytest.raises(SlamsError, match="latitudes are not those of the state"):
        observe(turned, model(), NORMALISATION, TIMES)


def test_images_of_one_time_and_operators_of_other_levels_are_told():
    once = images(TIMES, np.full((3, *CELLS), 255.0))
    with pytest.raises(SlamsError, match="several images of one time"):
        observe(xr.concat([once, once], dim="time"), model(), NORMALISATION, TIMES)
    network, season = ImageryNetwork(7), np.full((1, 1, *CELLS), 250.0)
    other = ImageryModel(network, ["irwin_cdr"], season, np.array([10.0]))
    with pytest.raises(SlamsError, match=f"of 7 levels, the state has {len(LEVELS)}"):
        observe(once, other, NORMALISATION, TIMES)


def test_the_error_is_the_networks_own():
    values = np.full((3, *CELLS), 255.0)
    values[0, :4] = np.nan
    observation = observe(images(TIMES, values), model(), NORMALISATION, TIMES)
    x = torch.from_numpy(weather(6, seed=2)).view(2, 3, len(LEVELS), *CELLS)
    operator = ImageryOperator(model(), NORMALISATION, TIMES)
    seen = torch.isfinite(observation.full)
    torch.testing.assert_close(observation.variance(x), operator.variance(x)[:, seen])
    torch.testing.assert_close(observation.predict(x), operator(x)[:, seen])


def test_a_cell_without_a_season_is_missing():
    fitted = model()
    fitted.coefficients[:, :, 4, 4] = np.nan
    observation = observe(images(TIMES, np.full((3, *CELLS), 255.0)), fitted, NORMALISATION, TIMES)
    assert torch.isnan(observation.full[:, :, 4, 4]).all()
    assert len(observation) == 3 * (CELLS[0] * CELLS[1] - 1)


def test_a_model_comes_back_from_its_file(tmp_path):
    fitted = model()
    fitted.save(tmp_path / "imagery.pt", {"steps": 3})
    loaded = ImageryModel.load(tmp_path / "imagery.pt")
    x = torch.from_numpy(weather(3, seed=1))[None]
    one, other = (ImageryOperator(m, NORMALISATION, TIMES) for m in (fitted, loaded))
    assert torch.equal(one(x), other(x))
    assert torch.equal(one.variance(x), other.variance(x))
    brightness = np.full((3, 1, *CELLS), 255.0)
    np.testing.assert_array_equal(
        fitted.normalise(brightness, TIMES), loaded.normalise(brightness, TIMES)
    )
    assert not any(p.requires_grad for p in loaded.network.parameters())
