"""Quality control in whole cells: against the first guess, and of errors that are planted."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from worlds import IdealPrior, days, store, thermometers, weather

from slams.assimilation import assimilate_cell
from slams.classical import interpolate
from slams.observation.persistence_fit import fit as fit_persistence
from slams.observation.stations import StationOperator
from slams.observing import Observer, Streams
from slams.statistics import Normalisation
from slams.verification import crps

WINDOW, STATIONS = 2, 120
TIMES, VALIDATION, TRAINING = days("2003-04-01", 40), days("2002-04-01", 60), days("2001-04-01", 80)
SAMPLER = {
    "method": "mmps",
    "members": 6,
    "steps": 10,
    "solver_iterations": 2,
    "sigma_min": 0.02,
    "sigma_max": 20.0,
    "gross_error": 5.0,
    "solver": "cg",
    "plausible": 8.0,
    "chunk": 16,
    "robust": None,
}
ALONE = {"name": "stations", "space": "pixel", "streams": ["stations"]}
BESIDE = {"name": "beside", "space": "pixel", "streams": ["background", "stations"]}
AGED = {"name": "aged", "space": "latent", "streams": ["background"]}
PLACES = (
    np.degrees(np.arcsin(np.random.default_rng(1).uniform(-1, 1, STATIONS))),
    np.random.default_rng(2).uniform(0, 360, STATIONS),
)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quality")
    return (
        store(folder, "test", TIMES, weather(len(TIMES), seed=0)),
        store(folder, "validation", VALIDATION, weather(len(VALIDATION), seed=1)),
    )


def readings(stores, planted: float, size: float) -> Streams:
    """Stations with errors of 1 K, and a share ``planted`` of them off by ``size`` K more."""
    truth = torch.from_numpy(np.array(stores[0].fields))[None]
    fit = thermometers(*PLACES)
    rng = np.random.default_rng(3)
    operator = StationOperator(fit, Normalisation(IdealPrior(WINDOW).statistics), TIMES)
    seen = operator(truth)[0].numpy()
    seen = seen + rng.standard_normal(seen.shape)
    off = rng.random(seen.shape) < planted
    seen = seen + off * size * rng.choice([-1.0, 1.0], seen.shape)
    table = pd.DataFrame(
        {
            "time": np.repeat(TIMES, STATIONS),
            "station_id": np.tile(fit["station"].values, len(TIMES)),
            "latitude": np.tile(PLACES[0], len(TIMES)),
            "longitude": np.tile(PLACES[1], len(TIMES)),
            "air_temperature": seen.ravel(),
        }
    )
    return Streams(table, fit)


def cell(stores, streams, arm=ALONE, axis="none", value=0.0, settings=None, cases=10, **sampler):
    return assimilate_cell(
        IdealPrior(WINDOW, arm["space"]),
        *stores,
        arm=arm,
        axis=axis,
        value=value,
        settings=settings or {},
        streams=streams,
        cases=cases,
        steps=WINDOW,
        sampler=SAMPLER | sampler,
        seed=3,
    )


def interpolated(stores, streams, **sampler) -> tuple[np.ndarray, np.ndarray]:
    """What interpolation of the stations says (case, ...) of the lowest level, and the truth."""
    normalisation = IdealPrior(WINDOW).normalisation
    observer = Observer(
        normalisation,
        *stores,
        names=["stations"],
        axis="none",
        value=0.0,
        settings={},
        streams=streams,
        cases=10,
        steps=WINDOW,
        step_hours=24.0,
        quality=SAMPLER | sampler,
        seed=3,
        label="arm stations",
    )
    places = {n: normalisation.dataset[n].values for n in ("latitude", "longitude")}
    found, truth = [], []
    for seen in observer.observed():
        known = {"windows": observer.windows, "climate": seen.climate, **places}
        found.append(interpolate(seen.observations, observer.first, **known)[:, -1])
        truth.append(seen.case.truth[:, -1])
    scale = normalisation.scale[-1]
    return scale * np.stack(found), scale * np.stack(truth)


def scores(data: xr.Dataset) -> dict[str, np.ndarray]:
    """Mean square error and CRPS (K) of the lowest level, which stations read, by case."""
    one = data.isel(level=[-1])
    mean = one["analysis"].mean("member")
    over = ("level", "step", "latitude", "longitude")
    square = ((mean - one["truth"]) ** 2).mean(over).values
    each = crps(one["analysis"], one["truth"])
    return {"square": square, "crps": each.mean([d for d in each.dims if d != "case"]).values}


def test_a_good_background_finds_errors_that_the_climate_cannot(stores):
    """Seven degrees are ordinary weather, but not beside a first guess that errs by half one."""
    streams = readings(stores, planted=0.1, size=7.0)
    alone = cell(stores, streams, cases=4)
    noise = {"coarse": 1, "every": 1}
    beside = cell(stores, streams, BESIDE, "noise", 0.1, noise, cases=4)
    total = 4 * WINDOW * STATIONS
    planted = 0.1 * total
    refused = beside["observations_refused"].sel(stream="stations").sum()
    assert int(alone["observations_refused"].sum()) < 0.1 * planted
    assert 0.75 * planted < int(refused) < 1.3 * planted
    assert int(beside["observations_refused"].sel(stream="background").sum()) == 0


def test_planted_errors_do_less_harm_when_believed_less(stores):
    """Ten degrees are within five deviations of the climate: nothing of it is refused."""
    streams = readings(stores, planted=0.12, size=10.0)
    plain, robust = cell(stores, streams), cell(stores, streams, robust=1.5)
    deweighted = int(robust["observations_deweighted"].sum())
    assert 0.1 * 10 * WINDOW * STATIONS < deweighted < 0.3 * 10 * WINDOW * STATIONS
    assert int(plain["observations_deweighted"].sum()) == 0
    np.testing.assert_array_equal(plain["observations_used"], robust["observations_used"])
    before, after = scores(plain), scores(robust)
    for score in ("square", "crps"):
        gain = before[score] - after[score]
        # Better in the mean by far more than its standard error over the cases.
        assert gain.mean() > 4 * gain.std(ddof=1) / np.sqrt(len(gain))
    assert after["square"].mean() < 0.9 * before["square"].mean()
    # The classical analysis from the same observations gains by it too.
    (one, truth), (other, _) = (interpolated(stores, streams, **s) for s in ({}, {"robust": 1.5}))
    assert ((other - truth) ** 2).mean() < 0.97 * ((one - truth) ** 2).mean()


def test_clean_observations_are_left_almost_alone(stores):
    streams = readings(stores, planted=0.0, size=0.0)
    plain, robust = cell(stores, streams), cell(stores, streams, robust=2.5)
    deweighted = int(robust["observations_deweighted"].sum())
    assert 0 < deweighted < 0.03 * 10 * WINDOW * STATIONS
    before, after = scores(plain), scores(robust)
    for score in ("square", "crps"):
        assert after[score].mean() == pytest.approx(before[score].mean(), rel=0.015)
    (one, _), (other, _) = (interpolated(stores, streams, **s) for s in ({}, {"robust": 2.5}))
    assert float(np.sqrt(((one - other) ** 2).mean())) < 0.1


def test_a_cell_of_an_earlier_field(stores, tmp_path):
    """From the training period's fit to cases whose earlier field the test store has."""
    training = store(tmp_path, "train", TRAINING, weather(len(TRAINING), seed=5))
    prior = IdealPrior(WINDOW)
    fitted = fit_persistence(training, prior.statistics, steps=3, step_hours=24.0, coarse=2)
    found = cell(stores, Streams(persistence=fitted), AGED, "persistence", 3.0, {"coarse": 2}, 5)
    assert found.attrs["axis"] == "persistence" and found.attrs["axis_value"] == "3"
    # The first three days of the period have no earlier field; seen is the first step alone.
    assert found["time"].values.min() == TIMES[3]
    np.testing.assert_array_equal(found["observations_used"], 3 * 4 * 8)
    assert np.isfinite(found["analysis"]).all()
    climatology = np.stack([prior.normalisation.climatology(t) for t in found["time"].values])
    truth = found["truth"].values[:, 0]
    error = ((found["background"].values[:, 0] - truth) ** 2).mean()
    climate = ((climatology[:, 0] - truth) ** 2).mean()
    # A third of the departure is left after three days: a little better than none.
    assert error < climate
