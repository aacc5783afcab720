"""Covariances of fields alike at every longitude, against dense matrices of the whole grid."""

import numpy as np
import pytest
import torch
from torch import Tensor
from worlds import days, store

from slams.covariances import RADII, Taper, denoising_loss, estimate, moments, some_runs
from slams.tapers import cell_places, taper

CHANNELS, ROWS, COLUMNS = 2, 8, 16
PROFILE, WAVES = CHANNELS * ROWS, COLUMNS // 2 + 1
LATITUDE = 90 - 180 / ROWS * (np.arange(ROWS) + 0.5)
LONGITUDE = 360 / COLUMNS * (np.arange(COLUMNS) + 0.5)


def noise(count: int, seed: int) -> np.ndarray:
    """Fields (count, channel, latitude, longitude) of which nearby rows have much in common."""
    drawn = np.random.default_rng(seed).standard_normal((count, CHANNELS, ROWS + 1, COLUMNS))
    return (drawn[:, :, 1:] + drawn[:, :, :-1]).astype("f4")


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    return store(tmp_path_factory.mktemp("fields"), "train", days("1990-01-01", 40), noise(40, 0))


def dense(waves: Tensor) -> Tensor:
    """The covariance (channel * cell, channel * cell) of the whole grid, of (wave, n, n)."""
    apart = torch.fft.irfft(waves, n=COLUMNS, dim=0)
    east = torch.arange(COLUMNS)
    full = apart[(east[:, None] - east) % COLUMNS]  # (column, column, profile, profile)
    return full.permute(2, 0, 3, 1).reshape(PROFILE * COLUMNS, PROFILE * COLUMNS)


def gathered(store, lag: int = 0) -> Tensor:
    count = len(store.fields) - lag
    rows = [sums / count for _, sums in moments(store, np.arange(count), lag)]
    return torch.cat(rows, 1)


@pytest.mark.parametrize("lag", [0, 2])
def test_moments_are_those_of_all_turns_of_the_globe(fields, lag, monkeypatch):
    monkeypatch.setattr("slams.covariances.FIELDS_AT_ONCE", 7)
    monkeypatch.setattr("slams.covariances.BYTES_AT_ONCE", 16 * WAVES * PROFILE * 3)
    x = fields.fields.reshape(40, PROFILE, COLUMNS).astype(float)
    expected = sum(
        np.einsum("tia,tjb->iajb", np.roll(x[lag:], n, -1), np.roll(x[: 40 - lag], n, -1))
        for n in range(COLUMNS)
    ) / ((40 - lag) * COLUMNS)
    found = dense(gathered(fields, lag))
    np.testing.assert_allclose(found, expected.reshape(found.shape), atol=1e-6)


@pytest.mark.parametrize("radius", [3000.0, 9000.0, 20000.0])
def test_the_taper_is_that_of_optimal_interpolation(fields, radius):
    whole, chosen = gathered(fields), torch.arange(PROFILE)
    places = cell_places(LATITUDE, LONGITUDE)
    kept = taper(places, places, radius).repeat(CHANNELS, CHANNELS)
    found = dense(Taper(ROWS, COLUMNS)(whole, chosen, radius))
    torch.testing.assert_close(found, kept * dense(whole), atol=1e-7, rtol=0)


def test_rows_are_tapered_as_the_whole_is(fields):
    whole, one = gathered(fields), Taper(ROWS, COLUMNS)
    chosen = torch.tensor([1, 6])
    expected = one(whole, torch.arange(PROFILE), 9000.0)[:, chosen]
    torch.testing.assert_close(one(whole[:, chosen], chosen, 9000.0), expected)
    assert one(whole, torch.arange(PROFILE), None) is whole


def test_few_fields_are_believed_near_by_alone(fields, tmp_path, monkeypatch):
    """Of forty fields the far covariances are chance, and the validation period knows."""
    checked = store(tmp_path, "validation", days("1995-01-01", 400), noise(400, 1))
    given = [(one, one.starts(3, 24.0)) for one in (fields, checked)]

    def fitted(radii: tuple[float | None, ...]) -> tuple[float | None, float]:
        """The radius taken, and what is lost where the checked fields are denoised with it."""
        monkeypatch.setattr("slams.covariances.RADII", radii)
        found = estimate(*given, 3, modes=PROFILE, joint=PROFILE)
        vectors = found.eofs.vectors.to(torch.complex128)
        model = (vectors * found.eofs.variance[:, None]) @ vectors.mH
        return found.radius_km, denoising_loss(model, gathered(checked))

    everywhere, (radius, loss) = fitted((None,)), fitted(RADII)
    assert radius is not None and loss < 0.99 * everywhere[1]


def test_a_window_that_there_can_be(fields):
    """However few the fields: what is together over the steps has no variance below zero."""
    given = (fields, fields.starts(3, 24.0))
    found = estimate(given, given, 3, modes=PROFILE, joint=5)
    values = torch.linalg.eigvalsh(found.over_steps.together)
    assert float(values.min()) > -1e-6 * float(values.max())
    alone = torch.linalg.eigvalsh(found.over_steps.own)
    assert float(alone.min()) > -1e-6 * float(alone.max())


def test_of_very_many_windows_some_runs_are_taken(fields, monkeypatch):
    starts = np.arange(60_000)
    taken = some_runs(starts)
    assert 19_000 < len(taken) < 21_000
    assert taken[0] == 0 and taken[-1] > 59_000
    ends = np.flatnonzero(np.diff(taken) > 1)
    assert len(ends) < 100 and set(np.diff(taken)[ends]) <= set(range(500, 530))
    assert len(some_runs(starts[:20_000])) == 20_000
    monkeypatch.setattr("slams.covariances.MOST_WINDOWS", 20)
    monkeypatch.setattr("slams.covariances.RUN", 6)
    given = (fields, fields.starts(3, 24.0))
    found = estimate(given, given, 3, modes=PROFILE, joint=5)
    values = torch.linalg.eigvalsh(found.over_steps.together)
    assert float(values.min()) > -1e-6 * float(values.max())
