"""The LETKF against a dense Kalman update in the span of its members, and how it finds them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from direct import PLACES, WIDE, matrix, observed, points_of, run, sample, seen_by
from worlds import GRID, LEVELS

from slams.classical.letkf import LETKF, Members, analogues
from slams.errors import SlamsError
from slams.tapers import distances

KINDS = [["blocks"], ["every"], ["stations"], ["blocks", "stations"]]


def raw(windows) -> np.ndarray:
    """The sample's departures (size, n), their mean in them."""
    return torch.cat(list(windows.windows())).flatten(1).double().numpy().T


@pytest.mark.parametrize("inflation", [1.0, 1.7])
@pytest.mark.parametrize("kinds", KINDS, ids="+".join)
def test_without_localisation_it_is_the_kalman_update_of_its_members(kinds, inflation, tmp_path):
    windows, case = sample(tmp_path), observed(kinds, tmp_path)
    seen, points = seen_by(case, windows), points_of(windows)
    numbers = analogues(seen, 10)
    x, h = raw(windows)[:, numbers], matrix(case)
    middle = x.mean(1)
    x = x - middle[:, None]
    p = inflation * x @ x.T / 9
    r = np.diag(seen.variance.numpy())
    gain = np.linalg.solve(h @ p @ h.T + r, h @ p).T
    mean = middle + gain @ (seen.value.numpy() - h @ middle)
    variance = np.diag(p - gain @ (h @ p))
    found = run(LETKF(Members(seen, numbers), WIDE, inflation), windows, points=points)
    shape = found.mean[0].shape
    np.testing.assert_allclose(found.mean[0], mean.reshape(shape), atol=3e-4)
    np.testing.assert_allclose(found.variance[0], variance.reshape(shape), atol=3e-4)
    # The stations asked for are linear in the state, so they follow with it.
    at = points.images.double().numpy().reshape(len(windows), -1)[numbers]
    weights = np.linalg.lstsq(x, mean - middle, rcond=None)[0]
    expected = at.mean(0) + (at - at.mean(0)).T @ weights
    np.testing.assert_allclose(found.station_mean[0].ravel(), expected, atol=3e-3)


def test_an_observation_has_no_weight_from_the_radius_on(tmp_path):
    windows, case = sample(tmp_path), observed(["stations"], tmp_path)
    seen = seen_by(case, windows)
    numbers = analogues(seen, 10)
    value = seen.value.clone()
    value[3] += 5.0
    moved = replace(seen, value=value)
    one, other = (run(LETKF(Members(s, numbers), 4000.0, 1.0), windows) for s in (seen, moved))
    place = seen.places[seen.place[3]][None]
    away = distances(place, PLACES)[0].numpy() >= 4000.0
    difference = np.abs(one.mean - other.mean)[0]
    np.testing.assert_array_equal(difference[..., away], 0.0)
    assert (difference[..., ~away].max((0, 1)) > 0).all() and (~away).any()
    np.testing.assert_array_equal(one.variance, other.variance)


def test_columns_are_tapered_one_by_one(tmp_path):
    """A column's analysis is the global one with R over the column's own taper."""
    windows, case = sample(tmp_path), observed(["blocks", "stations"], tmp_path)
    seen, radius = seen_by(case, windows), 9000.0
    numbers = analogues(seen, 12)
    found = run(LETKF(Members(seen, numbers), radius, 1.2), windows)
    x = raw(windows)[:, numbers].reshape(2, len(LEVELS), -1, 12)
    y = seen.images[numbers].numpy()
    departure, y = seen.value.numpy() - y.mean(0), y - y.mean(0)
    for cell in (0, 37, 100):
        z = distances(PLACES[cell][None], seen.places)[0].numpy()[seen.place] / (radius / 2)
        near = np.where(z < 1, 1 - 5 / 3 * z**2 + 5 / 8 * z**3 + z**4 / 2 - z**5 / 4, 0.0)
        w = np.maximum(z, 1.0)
        far = w**5 / 12 - w**4 / 2 + 5 / 8 * w**3 + 5 / 3 * w**2 - 5 * w + 4 - 2 / (3 * w)
        weight = np.where((z >= 1) & (z < 2), far, near) / seen.variance.numpy()
        p = np.linalg.inv(11 / 1.2 * np.eye(12) + (y * weight) @ y.T)
        column = x[:, :, cell]
        middle = column.mean(-1)
        spread = column - middle[..., None]
        mean = middle + spread @ (p @ ((y * weight) @ departure))
        variance = np.einsum("tlk,kj,tlj->tl", spread, p, spread)
        np.testing.assert_allclose(found.mean[0, ..., cell], mean, atol=1e-4)
        np.testing.assert_allclose(found.variance[0, ..., cell], variance, atol=1e-4)


def test_the_window_that_was_observed_is_the_best_analogue(tmp_path):
    windows, case = sample(tmp_path), observed(["blocks", "stations"], tmp_path)
    seen = seen_by(case, windows)
    for number in (3, 41):
        same = replace(seen, value=seen.images[number].clone())
        assert int(analogues(same, 5)[0]) == number


def test_streams_count_alike_among_analogues(tmp_path):
    """Whatever the unit and the number of their values."""
    windows, case = sample(tmp_path), observed(["all", "stations"], tmp_path)
    seen = seen_by(case, windows)
    unit = torch.where(seen.stream == 1, 1000.0, 1.0).double()
    scaled = replace(
        seen,
        value=seen.value * unit,
        images=seen.images * unit,
        variance=seen.variance * unit**2,
    )
    np.testing.assert_array_equal(analogues(seen, 50), analogues(scaled, 50))
    # Three values of stations against hundreds of a background: half of the misfit is theirs.
    few = torch.nonzero(
        (seen.stream == 0) | (torch.arange(len(seen.stream)) >= len(seen.stream) - 3)
    )
    few = few[:, 0]
    names = ("place", "stream", "value", "variance", "mean")
    part = replace(seen, images=seen.images[:, few], **{n: getattr(seen, n)[few] for n in names})
    best = int(analogues(part, 1)[0])
    expected = part.images.var(0) + part.variance
    square = (part.value - part.images) ** 2 / expected
    misfit = (square[:, part.stream == 0].mean(1) + square[:, part.stream == 1].mean(1)) / 2
    assert best == int(misfit.argmin())


def test_more_members_than_windows_name_the_key(tmp_path):
    windows, case = sample(tmp_path), observed(["blocks"], tmp_path)
    with pytest.raises(SlamsError, match=r"classical.letkf.members is 51: .* gives 50 windows"):
        analogues(seen_by(case, windows), 51)


def test_what_is_not_finite_is_an_error(tmp_path):
    windows, case = sample(tmp_path), observed(["blocks"], tmp_path)
    seen = seen_by(case, windows)
    seen.value[0] = torch.nan
    with pytest.raises(SlamsError, match=r"LETKF: an analysis is not finite"):
        run(LETKF(Members(seen, torch.arange(10)), WIDE, 1.0), windows)
    assert GRID.shape == (8, 16)


@pytest.mark.parametrize(("name", "number"), [("images", np.nan), ("variance", 0.0)])
def test_what_has_no_factor_is_an_error_too(name, number, tmp_path):
    """The factorisation comes first; its own message would name neither method nor remedy."""
    windows = sample(tmp_path)
    seen = seen_by(observed(["blocks"], tmp_path), windows)
    getattr(seen, name)[0] = number
    with pytest.raises(SlamsError, match=r"LETKF: no covariance of members; look at the store's"):
        run(LETKF(Members(seen, torch.arange(10)), WIDE, 1.0), windows)
