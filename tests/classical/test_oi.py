"""Optimal interpolation against dense solutions, and against the exact posterior."""

from types import SimpleNamespace

import gaussian
import numpy as np
import pytest
import torch
import xarray as xr
from direct import (
    PLACES,
    STATIONS,
    STEPS,
    WIDE,
    matrix,
    observed,
    points_of,
    run,
    sample,
    seen_by,
    states,
)
from worlds import GRID, LEVELS, store

from slams.cases import Case
from slams.classical.blocks import columns_of, no_points, partition
from slams.classical.ensemble import Sample
from slams.classical.innovations import innovations, sharing
from slams.classical.localisation import observation_places
from slams.classical.tuning import optimal_interpolation
from slams.errors import SlamsError
from slams.observation import BlockMean, EveryNth, Observations
from slams.observation.degraded import degrade
from slams.observing import Observed
from slams.tapers import taper, unit_vectors

ALL = 10**6  # observations a block
KINDS = [
    ["blocks"],
    ["every"],
    ["all"],
    ["stations"],
    ["blocks", "stations"],
]
SHAPE = (STEPS, len(LEVELS), GRID.shape[0] * GRID.shape[1])


def dense(prior: np.ndarray, h_prior: np.ndarray, innovation: np.ndarray, departure: np.ndarray):
    """Mean and variance of the Kalman update, from B, H B, H B H' + R and the departure."""
    gain = np.linalg.solve(innovation, h_prior).T
    return gain @ departure, np.diag(prior) - (gain * h_prior.T).sum(1)


@pytest.mark.parametrize("kinds", KINDS, ids="+".join)
def test_without_a_taper_it_is_the_dense_solution(kinds, tmp_path):
    windows, case = sample(tmp_path), observed(kinds, tmp_path)
    seen = seen_by(case, windows)
    x, h = states(windows), matrix(case)
    b = x @ x.T / (len(windows) - 1)
    innovation = h @ b @ h.T + np.diag(seen.variance.numpy())
    mean, variance = dense(b, h @ b, innovation, seen.value.numpy())
    found = run(optimal_interpolation([seen], WIDE, ALL), windows)
    np.testing.assert_allclose(found.mean[0], mean.reshape(SHAPE), atol=2e-4)
    np.testing.assert_allclose(found.variance[0], variance.reshape(SHAPE), atol=2e-4)
    assert variance.min() < 0.5 * np.diag(b).max()


def test_with_a_taper_it_is_the_dense_solution_with_tapered_covariances(tmp_path):
    """Of cells, observations and stations asked for; all observations are in reach."""
    windows, case = sample(tmp_path), observed(["blocks", "stations"], tmp_path)
    seen, points, radius = seen_by(case, windows), points_of(windows), 19000.0
    x = states(windows)
    y = seen.images.numpy() - seen.images.numpy().mean(0)
    places, count = seen.places[seen.place], len(windows) - 1
    innovation = y.T @ y / count * taper(places, places, radius).numpy()
    innovation += np.diag(seen.variance.numpy())
    cells = PLACES.repeat(STEPS * len(LEVELS), 1)
    of_cells = y.T @ x.T / count * taper(places, cells, radius).numpy()
    mean, variance = dense(x @ x.T / count, of_cells, innovation, seen.value.numpy())
    found = run(optimal_interpolation([seen], radius, ALL), windows, points=points)
    np.testing.assert_allclose(found.mean[0], mean.reshape(SHAPE), atol=2e-4)
    np.testing.assert_allclose(found.variance[0], variance.reshape(SHAPE), atol=2e-4)
    at = points.images.double().numpy()
    at = (at - at.mean(0)).reshape(len(windows), -1)
    places_at = unit_vectors(*STATIONS).repeat(STEPS, 1)
    of_points = y.T @ at / count * taper(places, places_at, radius).numpy()
    mean, variance = dense(at.T @ at / count, of_points, innovation, seen.value.numpy())
    np.testing.assert_allclose(found.station_mean[0], mean.reshape(STEPS, -1), atol=1e-4)
    np.testing.assert_allclose(found.station_variance[0], variance.reshape(STEPS, -1), atol=1e-4)


def test_at_an_observed_station_the_analysis_is_what_the_operator_says_of_the_field(tmp_path):
    """Without a taper the two ways to a station's temperature are one."""
    windows, case = sample(tmp_path), observed(["blocks"], tmp_path)
    seen, points = seen_by(case, windows), points_of(windows)
    found = run(optimal_interpolation([seen], WIDE, ALL), windows, points=points)
    only = observed(["stations"], tmp_path)
    (stream,) = only.observations
    state = torch.from_numpy(found.mean.reshape(1, STEPS, len(LEVELS), *GRID.shape))
    expected = stream.operator(state) - stream.operator(0 * state)
    np.testing.assert_allclose(found.station_mean, expected, atol=1e-3)


def test_a_missing_value_changes_nothing_whatever_stands_in_its_place(tmp_path):
    windows, case = sample(tmp_path), observed(["blocks", "stations"], tmp_path)
    before = run(optimal_interpolation([seen_by(case, windows)], 6000.0, ALL), windows)
    for stream in case.observations:
        stream.full[torch.isnan(stream.full)] = 1e9
    after = run(optimal_interpolation([seen_by(case, windows)], 6000.0, ALL), windows)
    np.testing.assert_array_equal(before.mean, after.mean)
    np.testing.assert_array_equal(before.variance, after.variance)


def test_cells_out_of_reach_keep_the_climatology(tmp_path):
    windows, case = sample(tmp_path), observed(["stations"], tmp_path)
    (stream,) = case.observations
    stream.drop(torch.arange(len(stream)) > 0)
    seen = seen_by(case, windows)
    found = run(optimal_interpolation([seen], 3000.0, ALL), windows)
    place = observation_places(stream, GRID.latitude, GRID.longitude)[seen.place[0]]
    away = (taper(place[None], PLACES, 3000.0)[0] == 0).numpy()
    assert 0.8 < away.mean() < 1
    prior = (states(windows) ** 2).sum(1).reshape(SHAPE) / (len(windows) - 1)
    np.testing.assert_array_equal(found.mean[0][..., away], 0.0)
    np.testing.assert_allclose(found.variance[0][..., away], prior[..., away], rtol=1e-5)
    # The cell next to the only observation knows more, also at the levels and steps not seen.
    nearest = int((PLACES @ place).argmax())
    assert (found.variance[0][..., nearest] < prior[..., nearest]).all()
    assert (found.mean[0][..., nearest] != 0).all()


def test_cases_that_saw_the_same_share_their_gain(tmp_path):
    windows = sample(tmp_path)
    one, other = observed(["every"], tmp_path), observed(["every"], tmp_path)
    (stream,) = other.observations
    stream.full *= -0.5
    stream.value *= -0.5
    assert sharing([one, other]) == [[0, 1]]
    pair = [seen_by(one, windows), seen_by(other, windows)]
    together = run(optimal_interpolation(pair, 8000.0, ALL), windows, cases=2)
    for number, seen in enumerate(pair):
        alone = run(optimal_interpolation([seen], 8000.0, ALL), windows)
        np.testing.assert_allclose(together.mean[number], alone.mean[0], atol=1e-6)
        np.testing.assert_array_equal(together.variance[number], alone.variance[0])
    stream.drop(torch.arange(len(stream)) == 2)
    assert sharing([one, other, one]) == [[0, 2], [1]]
    third = observed(["every"], tmp_path)
    next(iter(third.observations)).inflate(torch.tensor(0.1))
    assert sharing([one, third]) == [[0], [1]]


def test_of_too_many_observations_those_are_taken_that_say_most(tmp_path):
    """As many as may be; by the variance that each alone takes off, written out."""
    windows, case = sample(tmp_path), observed(["blocks", "stations"], tmp_path)
    seen, limit, radius = seen_by(case, windows), 12, 9000.0
    limited = optimal_interpolation([seen], radius, limit)
    assert np.isfinite(run(limited, windows).mean).all()
    blocks = partition(GRID.latitude, GRID.longitude, no_points(windows), side_km=6000.0)
    y = seen.images.numpy() - seen.images.numpy().mean(0)
    for block, (cells,) in columns_of(windows, blocks, no_points(windows), PLACES):
        chosen = limited._within(block, cells)
        assert len(chosen) == len(chosen.unique()) == limit
        x = cells.states.flatten(0, 1).double().numpy()
        x = x - x.mean(1, keepdims=True)
        taken_off = (
            ((x @ y) ** 2).sum(0) / len(y) / ((y**2).sum(0) + len(y) * seen.variance.numpy())
        )
        reach = taper(cells.places, seen.places, radius).square().mean(0)[seen.place].numpy()
        worth = reach * taken_off
        rest = np.delete(worth, chosen)
        # All directions of the states count here, in the choice only the leading ones.
        assert worth[chosen].min() > 0.9 * rest.max()
        assert rest.min() < 0.5 * worth[chosen].min()


def test_observations_that_say_nothing_do_not_crowd_out_those_that_do(tmp_path):
    windows, both = sample(tmp_path), observed(["blocks", "stations"], tmp_path)
    alone = observed(["blocks"], tmp_path)
    seen = seen_by(both, windows)
    seen.variance[seen.stream == 1] = 1e12
    limit = int((seen.stream == 0).sum()) // 2
    found = run(optimal_interpolation([seen], WIDE, limit), windows)
    expected = run(optimal_interpolation([seen_by(alone, windows)], WIDE, limit), windows)
    np.testing.assert_array_equal(found.mean, expected.mean)
    np.testing.assert_array_equal(found.variance, expected.variance)


WORLD = gaussian.sphere()
DRAWN = 6000


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Sample:
    """Many draws of a world whose covariance is known; its climatology is zero."""

    cells = ("term", "level", "latitude", "longitude")
    nothing = (cells, np.zeros((1, *WORLD.state_shape[1:])))
    zero = SimpleNamespace(dataset=xr.Dataset({"reference": nothing, "climatology": nothing}))
    fields = WORLD.draw(DRAWN, seed=1).float().view(DRAWN, *WORLD.state_shape[1:]).numpy()
    times = np.datetime64("2001-01-01", "ns") + np.arange(DRAWN) * np.timedelta64(1, "D")
    made = store(tmp_path_factory.mktemp("gaussian"), "train", times, fields)
    return Sample(made, zero, steps=1, step_hours=24.0, count=DRAWN)


@pytest.mark.parametrize("operator", [BlockMean(2), EveryNth(3)], ids=str)
def test_a_large_sample_gives_the_exact_posterior(operator, drawn, tmp_path):
    """Within what 6000 draws say of a covariance: bias and spread against the posterior's own."""
    truth = WORLD.draw(1, seed=9).float().view(WORLD.state_shape)
    times = WORLD.times
    stream = degrade(truth.numpy(), operator, times, noise=0.2, seed=4)
    case = Case(store(tmp_path, "test", times, truth.numpy()), 0, 1)
    zero = np.zeros(WORLD.state_shape)
    seen = innovations(
        Observed(case, Observations([stream]), [], zero, zero, 0),
        drawn,
        GRID.latitude,
        GRID.longitude,
    )
    analyser = optimal_interpolation([seen], WIDE, ALL)
    found = run(analyser, drawn)
    basis = torch.eye(WORLD.size).view(WORLD.size, *WORLD.state_shape)
    h = operator(basis).flatten(1).double().T
    c = WORLD.covariance
    gain = torch.linalg.solve(h @ c @ h.T + 0.04 * torch.eye(len(h)), h @ c).T
    mean, covariance = gain @ stream.value.double(), c - gain @ (h @ c)
    variance = torch.diagonal(covariance)
    off = torch.from_numpy(found.mean.reshape(-1)) - mean
    assert float((off**2).sum() / variance.sum()) ** 0.5 < 0.12
    ratio = torch.from_numpy(found.variance.reshape(-1)).double() / variance
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.05)
    # And the exact posterior is something else than the prior.
    assert float(variance.sum() / torch.trace(c)) < 0.6


def test_what_is_not_finite_is_an_error(tmp_path):
    windows, case = sample(tmp_path), observed(["blocks"], tmp_path)
    seen = seen_by(case, windows)
    seen.value[0] = torch.nan
    with pytest.raises(SlamsError, match=r"optimal interpolation: an analysis is not finite"):
        run(optimal_interpolation([seen], WIDE, ALL), windows)
    seen.images[0, 0] = torch.inf
    with pytest.raises(SlamsError, match=r"optimal interpolation: .*look at the store's fields"):
        run(optimal_interpolation([seen], 9000.0, ALL), windows)
