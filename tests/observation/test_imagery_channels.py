"""The imagery operator with several channels: shapes, gaps, units, and what a second one gives."""

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn
from worlds import GRID, LEVELS, IdealPrior, days, statistics, weather

from slams.channels import CHANNELS
from slams.errors import SlamsError
from slams.observation import Observation
from slams.observation.imagery import (
    ImageryModel,
    ImageryNetwork,
    ImageryOperator,
    likelihood_loss,
    observe,
    read,
)
from slams.observation.quality import expected
from slams.observation.representation import representation_variance
from slams.posterior import sample
from slams.statistics import Normalisation

CELLS = GRID.shape
TIMES = days("2001-03-30", 3)
NORMALISATION = Normalisation(statistics())
PAIR = ("irwin_cdr", "precipitation")
ALIKE = np.array([[1, 0.5], [0.5, 1]])


def model(channels=PAIR, seed=0) -> ImageryModel:
    torch.manual_seed(seed)
    network = ImageryNetwork(len(LEVELS), width=8, channels=len(channels))
    network.eval().requires_grad_(False)
    centre = np.array([CHANNELS[name].centre for name in channels])
    season = np.broadcast_to(centre[:, None, None, None], (len(channels), 1, *CELLS))
    return ImageryModel(network, channels, season.copy(), np.linspace(10.0, 0.5, len(channels)))


def images(values: dict[str, np.ndarray]) -> xr.DataArray:
    return xr.DataArray(
        np.stack(list(values.values()), axis=1),
        dims=("time", "channel", "latitude", "longitude"),
        coords={
            "time": TIMES,
            "channel": list(values),
            "latitude": GRID.latitude,
            "longitude": GRID.longitude,
        },
    )


def full(value: float) -> np.ndarray:
    return np.full((3, *CELLS), value)


def states(count: int = 2) -> Tensor:
    return torch.from_numpy(weather(3 * count, seed=1)).view(count, 3, len(LEVELS), *CELLS)


def test_a_channel_axis_follows_the_steps():
    operator = ImageryOperator(model(), NORMALISATION, TIMES)
    mean, variance = operator(states()), operator.variance(states())
    assert mean.shape == variance.shape == (2, 3, 2, *CELLS)
    assert (mean[:, :, 0] != mean[:, :, 1]).any()


def test_the_jacobian_is_exact_and_of_its_own_cell_alone():
    operator = ImageryOperator(model(), NORMALISATION, TIMES).double()
    x = states(1).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: operator(v)[0, 1, :, 3, 4], x, fast_mode=True)
    for channel in range(2):
        (gradient,) = torch.autograd.grad(operator(x)[0, 1, channel, 3, 4], x)
        touched = gradient.abs().sum(2).nonzero().tolist()
        assert touched == [[0, 1, 3, 4]]


def test_the_tangent_has_the_networks_value_and_derivative_both_ways():
    operator = ImageryOperator(model(), NORMALISATION, TIMES).double()
    x = states().double()
    along, back = torch.randn_like(x), torch.randn(operator(x).shape, dtype=x.dtype)

    def products(function) -> tuple[Tensor, Tensor, Tensor]:
        value, pulled = torch.autograd.functional.vjp(function, x, back)
        return value, pulled, torch.autograd.functional.jvp(function, x, along)[1]

    for one, other in zip(products(operator.tangent), products(operator), strict=True):
        torch.testing.assert_close(one, other)


def test_the_loss_is_that_of_the_pixels_seen_in_any_channel():
    generator = torch.Generator().manual_seed(0)
    network = ImageryNetwork(len(LEVELS), width=8, channels=2)
    x = torch.randn(4, 2 * len(LEVELS) + 3, *CELLS, generator=generator)
    target = torch.randn(4, 2, *CELLS, generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.4] = torch.nan
    mean, log_variance = network(x)
    each = 0.5 * (log_variance + (target - mean) ** 2 / log_variance.exp())
    torch.testing.assert_close(
        likelihood_loss(network, x, target), each[torch.isfinite(target)].mean()
    )


def test_every_channel_has_its_unit_its_transformation_and_its_gaps():
    bright, rain = full(255.0), full(np.e - 1)
    bright[:, 0], rain[1] = np.nan, np.nan
    fitted = model()
    # In any order, with a channel that the operator does not take.
    given = images({"precipitation": rain, "olr": full(240.0), "irwin_cdr": bright})
    seen = observe(given, fitted, NORMALISATION, TIMES).full
    assert seen.shape == (3, 2, *CELLS)
    np.testing.assert_allclose(seen[:, 0, 1:], 0.5, rtol=1e-5)
    np.testing.assert_allclose(seen[[0, 2], 1], 2.0, rtol=1e-5)
    assert torch.isnan(seen[:, 0, 0]).all() and torch.isnan(seen[1, 1]).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [("precipitation", -0.1), ("precipitation", 2001.0), ("irwvp", 139.0), ("olr", 600.0)],
)
def test_what_a_channel_cannot_be_is_told(name, value):
    wrong = full(CHANNELS[name].limits[0])
    wrong[1, 2, 3] = value
    unit = CHANNELS[name].units
    message = rf"imagery: 1 values of {name} are impossible, the first {value:g} .* {unit}\)"
    with pytest.raises(SlamsError, match=message):
        observe(images({name: wrong}), model((name,)), NORMALISATION, TIMES)


def test_a_channel_that_the_images_lack_is_told():
    with pytest.raises(SlamsError, match="the images lack precipitation, which the operator"):
        observe(images({"irwin_cdr": full(255.0)}), model(), NORMALISATION, TIMES)


def test_channels_that_err_alike_share_their_weight_where_both_are_seen():
    fitted = model(("irwin_cdr", "irwvp"))
    bright, vapour = full(255.0), full(240.0)
    bright[0, :4], vapour[1] = np.nan, np.nan
    given = images({"irwin_cdr": bright, "irwvp": vapour})
    apart = observe(given, fitted, NORMALISATION, TIMES)
    fitted.correlation, fitted.inflation = ALIKE, np.array([2.0, 3.0])
    alike = observe(given, fitted, NORMALISATION, TIMES)
    ratio = alike.on_map((alike.variance(states(1)) / apart.variance(states(1)))[0], torch.nan)
    np.testing.assert_allclose(ratio[0, 1, :4], 3.0, rtol=1e-5)
    np.testing.assert_allclose(ratio[1, 0], 2.0, rtol=1e-5)
    np.testing.assert_allclose(ratio[2, 0], 3.0, rtol=1e-3)
    np.testing.assert_allclose(ratio[2, 1], 4.5, rtol=1e-3)


def test_a_model_of_channels_comes_back_from_its_file(tmp_path):
    fitted = model()
    fitted.correlation, fitted.inflation = ALIKE, np.array([2.0, 3.0])
    fitted.strength = np.array([1.0, 0.25])
    fitted.save(tmp_path / "imagery.pt", {})
    loaded = ImageryModel.load(tmp_path / "imagery.pt")
    assert loaded.channels == PAIR
    one, other = (ImageryOperator(m, NORMALISATION, TIMES) for m in (fitted, loaded))
    assert torch.equal(one.variance(states()), other.variance(states()))
    given = images({"irwin_cdr": full(255.0), "precipitation": full(3.0)}).values
    np.testing.assert_array_equal(fitted.normalise(given, TIMES), loaded.normalise(given, TIMES))


def test_a_model_of_an_older_version_is_told(tmp_path):
    torch.save({"settings": {}, "weights": {}, "scale": 10.0}, tmp_path / "old.pt")
    with pytest.raises(SlamsError, match=r"old\.pt was written before imagery had channels"):
        ImageryModel.load(tmp_path / "old.pt")


def test_regridded_years_are_read_by_channel(tmp_path):
    given = images({"irwin_cdr": full(255.0), "precipitation": full(3.0)})
    fields = {CHANNELS[name].field: given.sel(channel=name, drop=True) for name in PAIR}
    path = tmp_path / "imagery-2001.nc"
    xr.Dataset(fields).to_netcdf(path)
    (found,) = read([path], ["precipitation", "irwin_cdr"])
    assert found.dims == ("time", "channel", "latitude", "longitude")
    assert found["channel"].values.tolist() == ["precipitation", "irwin_cdr"]
    assert found[0, :, 0, 0].values.tolist() == [3.0, 255.0]
    first = TIMES[1].astype("datetime64[s]").item()
    assert [len(piece.time) for piece in read([path], PAIR, (first, first))] == [1]
    assert list(read([path], PAIR, (first.replace(2002), first.replace(2003)))) == []
    with pytest.raises(SlamsError, match=r"imagery-2001\.nc lacks outgoing_.* of the channel olr"):
        list(read([path], ["olr"]))


def test_each_channel_has_its_own_error_of_representation_and_of_expectation():
    operator = ImageryOperator(model(), NORMALISATION, TIMES)
    fields = states(4)
    rebuilt = fields + 0.1 * states(4).flip(0)
    value = np.zeros((3, 2, *CELLS), np.float32)
    value[0, 0, :3] = np.nan
    observation = Observation(operator, value, operator.variance, TIMES, "imagery")
    found = representation_variance(observation, fields, rebuilt)
    with torch.no_grad():
        square = (operator(fields) - operator(rebuilt)) ** 2
    torch.testing.assert_close(found.flatten(), square.mean((0, 1, 3, 4)))
    # What is to be expected of one channel is drawn towards that channel's own variance.
    _, variance = expected(observation, fields)
    with torch.no_grad():
        own = operator(fields).var(0)
        error = operator.variance(fields).mean(0)
    seen = torch.isfinite(observation.full)
    for channel in range(2):
        here = seen.clone()
        here[:, 1 - channel] = False
        pooled = (4 * own[here] + 8 * own[here].mean()) / 12
        flat = here.flatten()[observation.seen]
        torch.testing.assert_close(variance[flat], pooled + error[here])


class Sum(nn.Module):
    """Channels that see the sum of the levels' anomalies, each with its strength and error."""

    def __init__(self, strengths: list[float]) -> None:
        super().__init__()
        self.strengths = strengths
        self.settings = {"levels": len(LEVELS)}

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x[:, : len(LEVELS)].sum(1, keepdim=True)
        mean = torch.cat([strength * total for strength in self.strengths], dim=1)
        return mean, torch.zeros_like(mean)


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_a_second_channel_brings_an_analysis_no_further_from_the_truth(correlation):
    """Twins: errors drawn as the operator has them, analysed with one channel and with both."""
    rng = np.random.default_rng(3)
    alike = np.array([[1, correlation], [correlation, 1]])
    truth = rng.standard_normal((3, len(LEVELS), *CELLS)).astype(np.float32)
    noise = rng.multivariate_normal(np.zeros(2), alike, (3, *CELLS))
    strengths = [1.0, 0.8]
    errors, spreads = [], []
    for count in (1, 2):
        fitted = model(("irwin_cdr", "irwvp")[:count])
        fitted.network = Sum(strengths[:count])
        fitted.correlation, fitted.strength = alike[:count, :count], np.array(strengths[:count])
        operator = ImageryOperator(fitted, NORMALISATION, TIMES)
        exact = operator(torch.from_numpy(truth)[None])[0].numpy()
        value = exact + np.moveaxis(noise, -1, 1)[:, :count]
        observation = Observation(operator, value, operator.variance, TIMES, "imagery")
        ensemble = sample(IdealPrior(3), observation, 24, steps=16, seed=4, sigma_max=40.0)
        members = NORMALISATION.normalise(
            ensemble.values.reshape(-1, *truth.shape[1:]), np.tile(TIMES, 24)
        ).reshape(24, *truth.shape)
        # What the channels show of it.
        members, seen = members.sum(2), truth.sum(1)
        errors.append(float(np.mean((members.mean(0) - seen) ** 2)))
        spreads.append(float(members.var(0, ddof=1).mean()))
    assert errors[1] < 1.03 * errors[0]
    assert spreads[1] < spreads[0]
    for error, spread in zip(errors, spreads, strict=True):
        assert spread * (1 + 1 / 24) == pytest.approx(error, rel=0.2)
