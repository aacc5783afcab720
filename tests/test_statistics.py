"""The seasonal fit and the normalisation, against known coefficients and direct calculations."""

import numpy as np
import pytest
import xarray as xr

from slams.errors import SlamsError
from slams.grid import Grid
from slams.statistics import HarmonicFit, Normalisation, evaluate, fit, season_basis, year_fraction

GRID = Grid(45.0)  # 4 x 8 cells
LEVELS = np.array([500.0, 850.0])
CELLS = (len(LEVELS), *GRID.shape)
NOISE = 2.0  # K


def days(count, first="2001-01-01"):
    return np.datetime64(first, "ns") + np.arange(count) * np.timedelta64(1, "D")


def truth(rng, harmonics=2):
    """Coefficients (term, level, latitude, longitude) in K of a planet with seasons."""
    coefficients = rng.normal(0, 8, (1 + 2 * harmonics, *CELLS))
    coefficients[0] += np.linspace(230, 290, CELLS[0])[:, None, None]
    return coefficients


def seasons(times, coefficients):
    """The cycle written out, harmonic by harmonic; days counted by hand from 1 January."""
    total = np.zeros((len(times), *coefficients.shape[1:]))
    for index, time in enumerate(times):
        start = time.astype("datetime64[Y]").astype("datetime64[ns]")
        angle = 2 * np.pi * float((time - start) / np.timedelta64(1, "D")) / 365.2425
        total[index] = coefficients[0]
        for h in range(1, (len(coefficients) + 1) // 2):
            total[index] += coefficients[2 * h - 1] * np.cos(h * angle)
            total[index] += coefficients[2 * h] * np.sin(h * angle)
    return total


def fields_of(times, values):
    return xr.DataArray(
        values.astype(np.float32),
        dims=("time", "level", "latitude", "longitude"),
        coords={"time": times, "level": LEVELS, **GRID.coordinates()},
        name="air_temperature",
    )


@pytest.fixture(scope="module")
def year():
    """Two noisy years and the coefficients behind them."""
    rng = np.random.default_rng(0)
    times, coefficients = days(730), truth(rng)
    noise = rng.normal(0, NOISE, (len(times), *CELLS))
    return times, coefficients, fields_of(times, seasons(times, coefficients) + noise)


def test_the_year_begins_at_zero_and_goes_by_days():
    times = np.array(["2001-01-01T00", "2001-01-02T12", "2004-12-31T00"], "datetime64[ns]")
    expected = np.array([0, 1.5, 365]) / 365.2425
    np.testing.assert_allclose(year_fraction(times), expected, rtol=1e-12)
    assert year_fraction(times[1]) == pytest.approx(expected[1])
    assert season_basis(times, 0).tolist() == [[1.0]] * 3


def test_the_fit_recovers_the_cycle_within_its_standard_error(year):
    times, coefficients, field = year
    found = HarmonicFit(CELLS, 2)
    found.add(times, field.values.astype(np.float64))
    estimate, variance = found.solve()
    # Over whole years the columns are orthogonal: each wave has the variance 2 s^2 / n.
    error = NOISE * np.sqrt(np.array([1, 2, 2, 2, 2]) / len(times))
    assert np.all(np.abs(estimate - coefficients).max((1, 2, 3)) < 4.5 * error)
    assert (estimate - coefficients).std((1, 2, 3)) == pytest.approx(error, rel=0.3)
    # Mean of 64 cells' chi-square with 725 degrees of freedom: standard error 0.7 %.
    assert variance.mean() == pytest.approx(NOISE**2, rel=0.03)


def test_the_residual_variance_counts_its_degrees_of_freedom():
    rng = np.random.default_rng(1)
    times = days(12) + np.arange(12) * np.timedelta64(29, "D")
    found = HarmonicFit((20000,), 2)
    found.add(times, 280 + rng.normal(0, NOISE, (12, 20000)))
    # 12 days, 5 coefficients: dividing by 12 would give 7/12 of the variance.
    assert found.solve()[1].mean() == pytest.approx(NOISE**2, rel=0.03)


def test_missing_days_leave_the_other_days_fit(year):
    times, _, field = year
    values = field.values.astype(np.float64)
    missing = np.random.default_rng(2).random(values.shape) < 0.4
    found = HarmonicFit(CELLS, 2)
    found.add(times, np.where(missing, np.nan, values))
    estimate, variance = found.solve()
    seen = ~missing[:, 1, 2, 3]
    basis = np.stack(
        [
            np.ones(len(times)),
            *[
                wave(2 * np.pi * h * year_fraction(times))
                for h in (1, 2)
                for wave in (np.cos, np.sin)
            ],
        ],
        axis=1,
    )
    direct, residual, *_ = np.linalg.lstsq(basis[seen], values[seen, 1, 2, 3], rcond=None)
    np.testing.assert_allclose(estimate[:, 1, 2, 3], direct, rtol=1e-9)
    assert variance[1, 2, 3] == pytest.approx(residual[0] / (seen.sum() - 5), rel=1e-9)


def test_a_cell_seen_too_seldom_or_in_one_season_is_not_known():
    times = days(365)
    values = np.full((365, 3), 280.0) + np.random.default_rng(3).normal(0, 1, (365, 3))
    values[np.arange(365) % 41 != 0, 1] = np.nan  # 9 days for 5 coefficients
    values[90:, 2] = np.nan  # a winter does not say what the summer is
    found = HarmonicFit((3,), 2)
    found.add(times, values)
    coefficients, variance = found.solve()
    assert np.isfinite(coefficients).all(0).tolist() == [True, False, False]
    assert np.isfinite(variance).tolist() == [True, False, False]


def test_evaluate_is_the_cycle_written_out(year):
    _, coefficients, _ = year
    times = days(5, "2010-07-30")
    np.testing.assert_allclose(evaluate(coefficients, times), seasons(times, coefficients))


@pytest.mark.parametrize("reference", ["climatology", "mean"])
def test_pieces_change_nothing(year, reference):
    _, _, field = year
    whole = fit([field], GRID.area_weights, harmonics=2, reference=reference)
    pieces = [field[:1], field[1:1], field[1:400], field[400:]]
    parts = fit(iter(pieces), GRID.area_weights, harmonics=2, reference=reference)
    xr.testing.assert_identical(whole, parts)
    assert whole.attrs == {"fields": 730, "reference_kind": reference}


def test_the_mean_reference_is_the_direct_area_weighted_calculation(year):
    _, _, field = year
    found = fit([field], GRID.area_weights, harmonics=0, reference="mean")
    north = np.sin(np.deg2rad(90 - 45.0 * np.arange(4)))
    area = (north - np.sin(np.deg2rad(45 - 45.0 * np.arange(4))))[:, None] * np.ones((4, 8))
    for index in range(len(LEVELS)):
        values = field.values[:, index].astype(np.float64)
        weights = np.broadcast_to(area, values.shape)
        mean = np.average(values, weights=weights)
        deviation = np.sqrt(np.average((values - mean) ** 2, weights=weights))
        assert float(found.global_mean[index]) == pytest.approx(mean, rel=1e-10)
        assert float(found.global_standard_deviation[index]) == pytest.approx(deviation, rel=1e-9)
        assert float(found.scale[index]) == pytest.approx(deviation, rel=1e-9)
        assert found.reference[0, index].values == pytest.approx(np.full(GRID.shape, mean))


def test_the_climatology_is_the_same_whatever_is_subtracted(year):
    _, _, field = year
    one = fit([field], GRID.area_weights, harmonics=2, reference="climatology")
    other = fit([field], GRID.area_weights, harmonics=2, reference="mean")
    for name in ("climatology", "climatology_spread", "global_mean"):
        xr.testing.assert_identical(one[name], other[name])
    xr.testing.assert_equal(one["reference"], one["climatology"].rename("reference"))
    assert float(one["scale"].max()) == pytest.approx(NOISE, rel=0.02)
    spread = one["climatology_spread"].values
    direct = np.sqrt(np.average(spread**2, axis=1, weights=GRID.area_weights).mean(-1))
    np.testing.assert_allclose(one["scale"], direct, rtol=1e-12)
    assert not other["reference"][1:].any()


def test_the_training_period_has_unit_variance_and_comes_back(year):
    times, _, field = year
    normalisation = Normalisation(fit([field], GRID.area_weights, harmonics=2))
    state = normalisation.normalise(field.values, times)
    assert state.dtype == np.float32 and state.shape == field.shape
    zonal = (state.astype(np.float64) ** 2).mean((0, 3))
    variance = np.average(zonal, axis=1, weights=GRID.area_weights)
    # The scale counts degrees of freedom: 725 of 730.
    assert variance == pytest.approx(np.full(2, 725 / 730), rel=1e-5)
    np.testing.assert_allclose(normalisation.to_kelvin(state, times), field, atol=5e-5)
    ensemble = np.stack([field.values[:3]] * 4)
    state = normalisation.normalise(ensemble, times[:3])
    assert state.shape == (4, 3, *CELLS)
    back = normalisation.to_kelvin(state, times[:3])
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, ensemble, atol=5e-5)


def test_normalisation_keeps_climatology_apart_from_the_reference(year):
    times, coefficients, field = year
    normalisation = Normalisation(fit([field], GRID.area_weights, harmonics=2, reference="mean"))
    assert np.ptp(normalisation.reference(times[:9]), axis=(0, 2, 3)).max() < 1e-9
    cycle = seasons(times[:9], coefficients)
    assert np.abs(normalisation.climatology(times[:9]) - cycle).max() < 1.0


@pytest.mark.parametrize("count", [5, 9, 60])
def test_too_short_a_period_names_the_keys(year, count):
    _, _, field = year
    with pytest.raises(SlamsError, match=r"100% of .*periods\.train.*statistics\.harmonics"):
        fit([field[:count]], GRID.area_weights, harmonics=2)


def test_what_cannot_be_fitted_names_its_key(year):
    _, _, field = year
    with pytest.raises(SlamsError, match=r"periods\.train holds no field"):
        fit([field[:0]], GRID.area_weights, harmonics=0)
    with pytest.raises(SlamsError, match=r"statistics\.reference: 'median'"):
        fit([field], GRID.area_weights, harmonics=0, reference="median")
    with pytest.raises(SlamsError, match=r"no variation"):
        fit([field[:1]], GRID.area_weights, harmonics=0)
    hidden = field.copy()
    hidden[:, :, 0] = np.nan
    with pytest.raises(SlamsError, match=r"25% of the cells"):
        fit([hidden], GRID.area_weights, harmonics=0)
