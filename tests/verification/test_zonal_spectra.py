"""Zonal power spectra: single waves, and that they add up to the variance."""

import numpy as np
import pytest
from made_cells import GRID, field
from scipy.signal import periodogram

from slams import verification

EAST = np.radians(GRID.longitude)
COLUMNS = GRID.shape[1]


@pytest.mark.parametrize(("wave", "expected"), [(1, 4.5), (3, 4.5), (6, 9.0)])
def test_a_wave_of_amplitude_3_has_the_power_of_its_variance(wave, expected):
    # The shortest wave has its crests at the centres.
    phase = EAST - EAST[0]
    power = verification.power(field(280 + 3 * np.cos(wave * phase)))
    assert power.dims == ("wavenumber",)
    np.testing.assert_array_equal(power["wavenumber"], range(1, COLUMNS // 2 + 1))
    assert power.sel(wavenumber=wave).item() == pytest.approx(expected)
    assert power.sum().item() == pytest.approx(expected)


def test_sums_to_the_rows_variance_by_area():
    values = np.random.default_rng(0).normal(size=(2, *GRID.shape))
    power = verification.power(field(values, level=2))
    assert power.dims == ("level", "wavenumber")
    variance = (values.var(-1) * GRID.area_weights).mean(-1)
    np.testing.assert_allclose(power.sum("wavenumber"), variance)


def test_agrees_with_scipy():
    values = np.random.default_rng(1).normal(size=GRID.shape)
    _, rows = periodogram(values, detrend="constant", scaling="spectrum")
    expected = (rows[:, 1:] * GRID.area_weights[:, None]).mean(0)
    np.testing.assert_allclose(verification.power(field(values)), expected)


def test_of_members_not_of_their_mean():
    waves = [np.cos(2 * EAST), np.cos(2 * EAST + np.pi)]
    ensemble = field(np.stack(waves)[:, None, :], member=2)
    assert verification.power(ensemble).sum().item() == pytest.approx(0.5)
    assert verification.power(ensemble.mean("member")).sum().item() == pytest.approx(0.0)


def test_smoothing_lowers_the_ratio_where_it_smooths():
    rng = np.random.default_rng(2)
    truth = field(rng.normal(size=(200, *GRID.shape)), case=200)
    smooth = (truth + truth.roll(longitude=1) + truth.roll(longitude=-1)) / 3
    ratio = (verification.power(smooth) / verification.power(truth)).mean("case")
    wave = np.arange(1, COLUMNS // 2 + 1)
    expected = ((1 + 2 * np.cos(2 * np.pi * wave / COLUMNS)) / 3) ** 2
    np.testing.assert_allclose(ratio, expected, atol=0.02)
