"""The earlier field as an observation: which field, what is expected of it, what is refused."""

import numpy as np
import pytest
import torch
import xarray as xr
from worlds import GRID, LEVELS, SHAPE, days, statistics, store, weather, with_fields

from slams.cases import Case, climate
from slams.classical import interpolate_background
from slams.errors import SlamsError
from slams.observation.persistence import Persistence, earlier_fields
from slams.statistics import Normalisation

STEPS, AGE, COARSE = 2, 3, 2
NORMALISATION = Normalisation(statistics())
# The sixth day is missing.
TIMES = np.delete(days("2003-04-01", 24), 5)


def fitted(**changes) -> xr.Dataset:
    rows = GRID.shape[0] // COARSE
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {
            "slope": (("level", "row"), rng.uniform(0.3, 0.9, (len(LEVELS), rows))),
            "error_variance": (("level", "row"), rng.uniform(0.1, 2.0, (len(LEVELS), rows))),
        },
        coords={"level": LEVELS},
        attrs={"hours": 24.0 * AGE, "coarse": COARSE} | changes,
    )


@pytest.fixture(scope="module")
def test_store(tmp_path_factory):
    return store(tmp_path_factory.mktemp("persistence"), "test", TIMES, weather(len(TIMES)))


def blocks(field: np.ndarray) -> np.ndarray:
    return field.reshape(*field.shape[:-2], 4, 2, 8, 2).mean((-3, -1))


def test_the_earlier_field_is_found_by_its_time(test_store):
    # Of 5, 8 and 9 April, that of 2, 5 and 6 April, which is missing.
    numbers = np.array([4, 6, 7])
    np.testing.assert_array_equal(TIMES[numbers], days("2003-04-01", 24)[[4, 7, 8]])
    np.testing.assert_array_equal(earlier_fields(test_store, numbers, 72.0), [1, 4, -1])
    starts = Persistence(fitted(), NORMALISATION).possible(test_store, np.arange(len(TIMES)))
    expected = [n for n, time in enumerate(TIMES) if time - np.timedelta64(3, "D") in set(TIMES)]
    np.testing.assert_array_equal(starts, expected)
    with pytest.raises(SlamsError, match=r"no field lies 72 h before 2003-04-09T00; choose"):
        Persistence(fitted(), NORMALISATION).observe(Case(test_store, 7, STEPS), 0)


def test_members_do_not_mix(test_store):
    two = with_fields(test_store, test_store.fields)
    two.times = np.concatenate([TIMES[:4], TIMES[:4]])
    two.members = np.repeat([0, 1], 4)
    np.testing.assert_array_equal(
        earlier_fields(two, np.arange(8), 24.0), [-1, 0, 1, 2, -1, 4, 5, 6]
    )


@pytest.mark.parametrize("reference", ["climatology", "mean"])
def test_the_value_is_the_earlier_departure_and_no_noise(test_store, reference):
    normalisation = Normalisation(statistics(reference))
    fit = fitted()
    case = Case(test_store, 10, STEPS)
    observation = Persistence(fit, normalisation).observe(case, seed=1)
    again = Persistence(fit, normalisation).observe(case, seed=2)
    assert torch.equal(observation.value, again.value)
    now, then = (climate(normalisation, TIMES[n : n + 1])[0] for n in (10, 7))
    expected = blocks(now + test_store.fields[7] - then)
    np.testing.assert_allclose(observation.full[0], expected, atol=1e-5)
    assert torch.isnan(observation.full[1:]).all()
    assert observation.name == "background"
    # Were the present field the climatology, so would be what is expected of the earlier one.
    x = torch.from_numpy(climate(normalisation, case.times))[None]
    predicted = observation.predict(x).view(*expected.shape)
    np.testing.assert_allclose(predicted, blocks(now), atol=1e-5)
    # And of a departure, the slope's share.
    departure = torch.from_numpy(weather(STEPS, seed=3))
    moved = (observation.predict(x + departure) - observation.predict(x)).view(*expected.shape)
    share = fit["slope"].values[..., None] * blocks(departure[0].numpy())
    np.testing.assert_allclose(moved, share, atol=1e-5)
    errors = observation.variance(x).view(*expected.shape)
    np.testing.assert_allclose(errors, fit["error_variance"].values[..., None] * np.ones(8), 1e-6)


def test_it_can_be_interpolated(test_store):
    observation = Persistence(fitted(), NORMALISATION).observe(Case(test_store, 10, STEPS), 0)
    guess = interpolate_background(observation, *GRID.shape)
    assert guess.shape == (STEPS, *SHAPE)
    # What is seen once is held; block means keep their places.
    np.testing.assert_array_equal(guess[0], guess[1])
    assert np.corrcoef(guess[0].ravel(), test_store.fields[7].ravel())[0, 1] > 0.8


def test_an_earlier_field_that_is_no_temperature_is_refused(test_store):
    for wrong, message in [
        (1e3, r"stream background: 1 values are no temperatures in K, .* build the store again"),
        (np.nan, r"stream background: 1 cells of the fields are missing"),
    ]:
        fields = np.array(test_store.fields)
        fields[7, 1, 2, 3] = wrong
        case = Case(with_fields(test_store, fields), 10, STEPS)
        with pytest.raises(SlamsError, match=message):
            Persistence(fitted(), NORMALISATION).observe(case, 0)


def test_a_fit_of_other_levels_is_refused():
    with pytest.raises(SlamsError, match=r"persistence was fitted on \[ 500\.  700\. 1000\.\] hPa"):
        Persistence(fitted().assign_coords(level=[500.0, 700.0, 1000.0]), NORMALISATION)
