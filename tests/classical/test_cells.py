"""Whole cells of classical analyses on a small planet."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from cell_streams import COUNT, HELD_OUT, WRONG, streams_of
from worlds import GRID, LEVELS, IdealPrior, days, store, weather, with_fields

from slams.classical import cells, tuning
from slams.classical.blocks import no_points, partition
from slams.classical.ensemble import Sample
from slams.errors import SlamsError
from slams.observation.persistence_fit import fit as fit_persistence
from slams.observation.stations import StationOperator
from slams.observing import Observer, Streams
from slams.statistics import Normalisation

WINDOW = 2
TIMES, VALIDATION, TRAINING = (
    days("2003-04-01", 24),
    days("2002-04-01", 40),
    days("2001-04-01", 150),
)
SETTINGS = {
    "coarse": {"noise": 0.1, "every": 1},
    "sparse": {"noise": 0.1, "every": 2},
    "persistence": {"coarse": 1},
    "none": {},
}
CLASSICAL = {
    "samples": 140,
    "rotations": 0,
    "validation_windows": 3,
    "block_km": 1500,
    "oi": {"radii_km": [3000.0, 12000.0], "observations": 500},
    "letkf": {"members": 30, "radii_km": [3000.0, 8000.0], "inflations": [1.0, 1.5]},
}
QUALITY = {"gross_error": 5.0, "robust": None}
FIELDS = ("case", "step", "level", "latitude", "longitude")
GAUSSIANS = ("climatology", "oi", "letkf")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Test, validation and training store."""
    folder = tmp_path_factory.mktemp("stores")
    periods = (("test", TIMES), ("validation", VALIDATION), ("train", TRAINING))
    return tuple(
        store(folder, split, times, weather(len(times), seed=seed))
        for seed, (split, times) in enumerate(periods)
    )


@pytest.fixture(scope="module")
def streams(stores) -> Streams:
    return streams_of(*stores[:2], window=WINDOW)


def observer(stores, streams, names, axis="coarse", value=2.0, **changes) -> Observer:
    options = {"cases": 2, "seed": 3, "quality": QUALITY, "reference": "climatology"} | changes
    prior = IdealPrior(WINDOW, reference=options.pop("reference"))
    return Observer(
        prior.normalisation,
        *stores[:2],
        names=names.split("+"),
        axis=axis,
        value=value,
        settings=SETTINGS[axis],
        streams=streams,
        steps=WINDOW,
        step_hours=24.0,
        label=f"classical analyses of {names}",
        **options,
    )


def cell(stores, streams=None, names="background", axis="coarse", value=2.0, **changes):
    made = observer(stores, streams or Streams(), names, axis, value, **changes)
    return cells.analyse_cell(made, stores[2], CLASSICAL)


@pytest.fixture(scope="module")
def full(stores, streams) -> xr.Dataset:
    """A cell of every stream."""
    return cell(stores, streams, "background+stations+imagery")


@pytest.fixture(scope="module")
def alone(stores, streams) -> xr.Dataset:
    """A cell of a background alone, in an experiment that has stations."""
    return cell(stores, Streams(station_fit=streams.station_fit), "background")


def truth_of(stores, found: xr.Dataset) -> xr.DataArray:
    normalisation = Normalisation(IdealPrior(WINDOW).statistics)
    starts = np.searchsorted(TIMES, found["time"].values[:, 0])
    fields = [
        normalisation.to_kelvin(stores[0].window(n, WINDOW), TIMES[n : n + WINDOW]) for n in starts
    ]
    return xr.DataArray(np.stack(fields), dims=FIELDS)


def error(stores, found: xr.Dataset, name: str) -> float:
    return float(((found[name] - truth_of(stores, found)) ** 2).mean()) ** 0.5


def test_a_cell_is_what_the_architecture_page_says(full):
    for name in ("climatology", "interpolation", "oi", "oi_spread", "letkf", "letkf_spread"):
        assert full[name].dims == FIELDS
        assert full[name].dtype == np.float32 and full[name].attrs["units"] == "K"
        assert np.isfinite(full[name]).all()
    for name in ("climatology", "interpolation", "oi", "letkf"):
        assert float(full[name].min()) > 150 and float(full[name].max()) < 350
        assert full[f"{name}_stations"].dims == ("case", "step", "station")
    for name in GAUSSIANS:
        assert (full[f"{name}_spread"] > 0).all()
        assert full[f"{name}_stations_spread"].dims == ("case", "step", "station")
        assert (full[f"{name}_stations_spread"] > 0).all()
    assert full["climatology_spread"].dims == FIELDS[2:]
    assert full["time"].dims == ("case", "step") and full.sizes["station"] == HELD_OUT
    for name, values in (("level", LEVELS), ("latitude", GRID.latitude), ("case", [0, 1])):
        np.testing.assert_array_equal(full[name], values)
    assert "persistence" not in full
    assert full.attrs["streams"] == "background stations imagery"
    assert full.attrs["axis"] == "coarse" and full.attrs["axis_value"] == "2"
    assert full.attrs["oi_radius_km"] in CLASSICAL["oi"]["radii_km"]
    assert full.attrs["letkf_radius_km"] in CLASSICAL["letkf"]["radii_km"]
    assert full.attrs["letkf_inflation"] in CLASSICAL["letkf"]["inflations"]


def test_a_cell_survives_its_file(full, tmp_path):
    full.to_netcdf(tmp_path / "classical.nc")
    with xr.open_dataset(tmp_path / "classical.nc") as read:
        xr.testing.assert_equal(read.load(), full)


def test_more_observations_make_better_analyses(stores, full, alone):
    """And optimal interpolation is the best of what there is."""
    for name in ("oi", "interpolation"):
        assert error(stores, full, name) < error(stores, alone, name)
    names = ("oi", "letkf", "interpolation", "climatology")
    for found in (full, alone):
        errors = {name: error(stores, found, name) for name in names}
        assert errors["oi"] == min(errors.values())
        assert errors["letkf"] < 0.7 * errors["climatology"]
    # What it says of its own error is true.
    square = float((alone["oi_spread"] ** 2).mean()) ** 0.5
    assert square == pytest.approx(error(stores, alone, "oi"), rel=0.25)


def test_stations_held_out_are_analysed_by_all(stores, streams, full, alone):
    """Assimilated or not; what a method says of them is what the operator says of its field."""
    normalisation = Normalisation(IdealPrior(WINDOW).statistics)
    held = streams.station_fit.isel(station=slice(HELD_OUT))
    for found in (full, alone):
        np.testing.assert_array_equal(found["station"], held["station"])
        for case in range(2):
            times = found["time"].values[case]
            operator = StationOperator(held, normalisation, times)
            for name in ("climatology", "interpolation", "oi", "letkf"):
                state = normalisation.normalise(found[name].values[case], times)
                expected = operator(torch.from_numpy(state)[None])[0]
                # In OI and LETKF a station has a taper of its own, about its own place.
                tolerance = 1e-3 if name in ("climatology", "interpolation") else 1.0
                at = found[f"{name}_stations"][case]
                np.testing.assert_allclose(at, expected, atol=tolerance)
    assert "oi_stations" not in cell(stores)


def test_no_station_held_out_enters(stores, streams, full):
    table, ids = streams.stations, streams.station_fit["station"].values[:HELD_OUT]
    off = 9.0 * table["station_id"].isin(ids)
    wrong = table.assign(air_temperature=table["air_temperature"] + off)
    other = Streams(wrong, streams.station_fit, streams.imagery, streams.imagery_model)
    xr.testing.assert_equal(cell(stores, other, "background+stations+imagery"), full)


def test_the_test_period_cannot_change_what_is_chosen(stores, monkeypatch):
    """Nor what was scored: radii and inflation are tuned over the validation period alone."""
    scored = []
    original = tuning.gaussian_crps

    def score(window, *of):
        scored.append((window.case.store.path.stem, original(window, *of)))
        return scored[-1][1]

    monkeypatch.setattr(tuning, "gaussian_crps", score)
    one = cell(stores)
    first, scored[:] = list(scored), []
    other = with_fields(stores[0], 3 * stores[0].fields[::-1].copy())
    two = cell((other, *stores[1:]))
    assert first == scored and {split for split, _ in scored} == {"validation"}
    for key in ("oi_radius_km", "letkf_radius_km", "letkf_inflation"):
        assert one.attrs[key] == two.attrs[key]
    assert not np.array_equal(one["oi"], two["oi"])


def test_the_best_candidate_is_chosen(stores, caplog):
    """By the least CRPS over the validation windows, whichever stands first."""
    made = observer(stores, Streams(), "background")
    sample = Sample(stores[2], made.normalisation, steps=WINDOW, step_hours=24.0, count=140)
    blocks = partition(GRID.latitude, GRID.longitude, no_points(sample), 1500)
    radii = [300.0, 9000.0, 12000.0]
    settings = CLASSICAL | {"oi": {"radii_km": radii, "observations": 500}}
    with caplog.at_level("INFO", logger="slams.classical.tuning"):
        tuned = tuning.tune(made, sample, settings, blocks, GRID.latitude, GRID.longitude)
    said = [message for message in caplog.messages if message.startswith("oi, radius")]
    scores = [float(message.split("CRPS ")[1].split()[0]) for message in said]
    assert tuned.oi_radius_km == radii[int(np.argmin(scores))] > 300.0
    # Covariances that end before the next cell leave the climatology nearly alone.
    assert scores[0] > 1.5 * min(scores)
    assert len(caplog.messages) == 3 + 4 + 1


def test_the_reference_of_the_store_does_not_matter(stores, streams):
    """Fields about the global mean, not about the climatology: the same analyses in K."""
    table = streams.stations[streams.stations["station_id"] != f"S{WRONG:04d}"]
    sound = Streams(table, streams.station_fit)
    of_climate, of_mean = (
        IdealPrior(WINDOW, reference=name).normalisation for name in ("climatology", "mean")
    )
    moved = []
    for one in stores:
        kelvin = of_climate.to_kelvin(one.fields, one.times)
        moved.append(with_fields(one, of_mean.normalise(kelvin, one.times)))
    found = cell(stores, sound, "stations", "none", 0.0)
    same = cell(moved, sound, "stations", "none", 0.0, reference="mean")
    for name in ("climatology", "interpolation", "oi", "letkf", "oi_spread", "oi_stations"):
        np.testing.assert_allclose(found[name], same[name], atol=0.02)


def test_stations_and_imagery_alone_are_better_than_the_climatology(stores):
    """Of a planet that is well observed."""
    streams = streams_of(*stores[:2], window=WINDOW, count=300, contrast=40.0)
    found = cell(stores, streams, "stations+imagery", "none", 0.0)
    climatology = error(stores, found, "climatology")
    assert error(stores, found, "interpolation") < 0.87 * climatology
    assert error(stores, found, "oi") < 0.8 * climatology
    # And each has its part in it.
    of_stations, of_images = (
        cell(stores, streams, name, "none", 0.0) for name in ("stations", "imagery")
    )
    assert error(stores, found, "oi") < 0.92 * error(stores, of_stations, "oi")
    assert error(stores, of_stations, "oi") < 0.9 * climatology
    assert error(stores, of_images, "oi") < 0.98 * climatology


def test_a_gross_error_does_not_reach_the_analyses(stores, streams):
    table = streams.stations
    sound = Streams(table[table["station_id"] != f"S{WRONG:04d}"], streams.station_fit)
    with_error = cell(stores, streams, "stations", "none", 0.0)
    without = cell(stores, sound, "stations", "none", 0.0)
    for name in ("oi", "letkf", "interpolation"):
        np.testing.assert_allclose(with_error[name], without[name], atol=0.05)
    assert COUNT - HELD_OUT == 25


def test_persistence_is_the_earlier_field(stores):
    normalisation = IdealPrior(WINDOW).normalisation
    fitted = fit_persistence(stores[2], normalisation.dataset, steps=3, step_hours=24.0, coarse=1)
    found = cell(stores, Streams(persistence=fitted), "background", "persistence", 3.0)
    earlier = np.searchsorted(TIMES, found["time"].values[:, 0]) - 3
    for case, number in enumerate(earlier):
        field = normalisation.to_kelvin(stores[0].window(number, 1), TIMES[number : number + 1])
        for step in range(WINDOW):
            np.testing.assert_allclose(found["persistence"][case, step], field[0], atol=1e-3)
    assert "persistence_spread" not in found
    # A third of a departure is left after three days: to take all of it is worse than none.
    assert error(stores, found, "climatology") < error(stores, found, "persistence")
    assert error(stores, found, "oi") < error(stores, found, "persistence")


def test_persistence_of_block_means_is_spread_back(stores):
    normalisation = IdealPrior(WINDOW).normalisation
    fitted = fit_persistence(stores[2], normalisation.dataset, steps=1, step_hours=24.0, coarse=2)
    streams = Streams(persistence=fitted)
    found = cell(stores, streams, "background", "persistence", 1.0)
    one = np.searchsorted(TIMES, found["time"].values[0, 0]) - 1
    kelvin = normalisation.to_kelvin(stores[0].window(one, 1), TIMES[one : one + 1])[0]
    off = float(((found["persistence"][0, 0] - kelvin) ** 2).mean()) ** 0.5
    departure = kelvin - normalisation.climatology(TIMES[one : one + 1])[0]
    assert 0.01 < off < 0.5 * float(np.std(departure))


def test_the_background_is_that_of_every_arm(stores, streams):
    """Its draws depend on seed, axis, value and case, not on who else is seen."""
    one = next(observer(stores, Streams(), "background").observed())
    other = next(observer(stores, streams, "background+stations+imagery").observed())
    pair = [next(iter(seen.observations)) for seen in (one, other)]
    np.testing.assert_array_equal(pair[0].full, pair[1].full)
    np.testing.assert_array_equal(one.guess, other.guess)
    assert one.seed == other.seed and pair[1].name == "background"


def test_a_case_without_observations_is_an_error_that_names_it(stores, streams):
    late = streams.stations.assign(time=streams.stations["time"] + pd.Timedelta("3650D"))
    none = Streams(late, streams.station_fit)
    message = r"of stations: the case from 2002-04-01T00 has no observation left .*validation$"
    with pytest.raises(SlamsError, match=message):
        cell(stores, none, "stations", "none", 0.0)


def test_a_store_of_other_levels_is_told(stores):
    other = with_fields(stores[2], stores[2].fields[:, :2])
    with pytest.raises(SlamsError, match=r"store/train: fields of \(2, 8, 16\)"):
        cell((*stores[:2], other))
