"""The station operator: a synthetic world whose coefficients, biases and errors are known."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from worlds import GRID, LEVELS, SCALE, cartesian, days, statistics, store, weather

from slams.errors import SlamsError
from slams.grid import bilinear
from slams.observation import rows, stations_fit
from slams.observation.stations import StationOperator, observe
from slams.observation.stations_fit import fit, hold_out
from slams.statistics import Normalisation, evaluate

STATISTICS = statistics()
NORMALISATION = Normalisation(STATISTICS)
TIMES = days("2001-01-01", 365)
STATIONS = 120
USED = 2
# What the world is made of: climate and anomaly of the two lowest levels, lapse rate, latitude.
CLIMATE, ANOMALY, LAPSE, POLEWARD, CONSTANT = (0.2, 0.7), (0.3, 0.9), -5.0, 3.0, 30.0
BIAS_SD = 0.8


@pytest.fixture(scope="module")
def sites():
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "station_id": [f"{number:06d}-99999" for number in rng.permutation(STATIONS)],
            "latitude": np.degrees(np.arcsin(rng.uniform(-1, 1, STATIONS))),
            "longitude": rng.uniform(0, 360, STATIONS),
            "elevation": rng.uniform(0, 2500, STATIONS),
            "bias": rng.normal(0, BIAS_SD, STATIONS),
            "error": rng.uniform(0.5, 2.0, STATIONS),
        }
    )


def at_sites(fields: np.ndarray, sites: pd.DataFrame) -> np.ndarray:
    indices, weights = bilinear(GRID, sites["latitude"], sites["longitude"])
    return (fields.reshape(*fields.shape[:-2], -1)[..., indices] * weights).sum(-1)


def exact(fields: np.ndarray, times: np.ndarray, sites: pd.DataFrame) -> np.ndarray:
    """Temperatures (time, station) in K without error, from the world's own formula."""
    climate = at_sites(evaluate(NORMALISATION.coefficients[:, -USED:], times), sites)
    anomaly = at_sites(fields[:, -USED:] * SCALE[-USED:, None, None], sites)
    place = LAPSE * sites["elevation"] / 1000
    place = place + POLEWARD * np.sin(np.radians(sites["latitude"])) ** 2 + sites["bias"]
    return (
        CONSTANT
        + np.einsum("l,tls->ts", CLIMATE, climate)
        + np.einsum("l,tls->ts", ANOMALY, anomaly)
        + place.to_numpy()
    )


def reports(truth: np.ndarray, times: np.ndarray, sites: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A table in arbitrary order; a tenth of the reports is missing."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "time": np.repeat(times, len(sites)),
            **{name: np.tile(sites[name], len(times)) for name in sites.columns},
            "air_temperature": truth.ravel(),
        }
    )
    table["air_temperature"] += table["error"] * rng.standard_normal(len(table))
    keep = rng.permutation(len(table))[: int(0.9 * len(table))]
    return table.iloc[keep].drop(columns=["bias", "error"])


@pytest.fixture(scope="module")
def world(tmp_path_factory, sites):
    """Store, station table with one gross error in a hundred, and the rows that are gross."""
    fields = weather(len(TIMES), seed=1)
    training = store(tmp_path_factory.mktemp("stations"), "train", TIMES, fields)
    table = reports(exact(fields, TIMES, sites), TIMES, sites, seed=2)
    rng = np.random.default_rng(3)
    gross = rng.random(len(table)) < 0.01
    table.loc[gross, "air_temperature"] += 25 * rng.choice([-1, 1], gross.sum())
    return training, table, gross


def fitted(table: pd.DataFrame, training, **changes) -> xr.Dataset:
    settings = {"levels_used": USED, "held_out": 0.2, "minimum_observations": 50, "seed": 9}
    return fit(table, training, STATISTICS, GRID, **(settings | changes))


@pytest.fixture(scope="module")
def result(world) -> xr.Dataset:
    training, table, _ = world
    return fitted(table, training)


def test_the_worlds_coefficients_biases_and_errors_are_recovered(result, sites, world):
    coefficient = result["coefficient"].to_series()
    names = ["constant", "climate_0", "climate_1", "anomaly_0", "anomaly_1"]
    assert list(coefficient.index) == [*names, "elevation_km", "sin2_latitude"]
    # The errors of the biases limit what depends on the place alone; days are many.
    np.testing.assert_allclose(coefficient[["anomaly_0", "anomaly_1"]], ANOMALY, atol=0.02)
    np.testing.assert_allclose(coefficient[["climate_0", "climate_1"]], CLIMATE, atol=0.05)
    assert coefficient["elevation_km"] == pytest.approx(LAPSE, abs=0.4)
    known = sites.set_index("station_id").loc[result["station"].values]
    assert np.corrcoef(known["bias"], result["bias"])[0, 1] > 0.95
    assert float(np.sqrt(((known["bias"] - result["bias"]) ** 2).mean())) < 0.3
    ratio = result["error_variance"].values / known["error"] ** 2
    assert ratio.median() == pytest.approx(1.0, abs=0.05)
    assert ratio.between(0.6, 1.6).all()
    gross = world[2].sum()
    assert gross <= result.attrs["left_out_as_gross"] < gross + 0.002 * len(world[1])


def test_what_is_predicted_for_another_year_is_as_good_as_stated(result, sites):
    """Errors of new observations are of the variance that the fit gives, station by station."""
    times = days("2003-05-01", 100)
    fields = weather(100, seed=77)
    truth = exact(fields, times, sites)
    table = reports(truth, times, sites, seed=78)
    observation = observe(table, result, NORMALISATION, times)
    x = torch.from_numpy(fields)[None]
    error = (observation.value - observation.predict(x)[0]).numpy()
    assert abs(error.mean()) < 0.15
    standard = error**2 / observation.variance(x)[0].numpy()
    assert standard.mean() == pytest.approx(1.0, abs=0.06)


def test_few_days_leave_the_bias_near_zero(sites, world):
    training, table, _ = world
    counts = {count: fitted(table, training, minimum_observations=count) for count in (1, 100)}
    assert counts[1].sizes["station"] == counts[100].sizes["station"] == STATIONS
    poor = sites["station_id"][3]
    few = table[(table["station_id"] != poor) | (table["time"] < TIMES[4])]
    few = few.copy()
    few.loc[few["station_id"] == poor, "air_temperature"] += 3.0
    alone = fitted(few, training, minimum_observations=1).sel(station=poor)
    days_seen = int(alone["observations"])
    assert 1 <= days_seen <= 4
    # The rest of an offset of more than three that is not taken for the station's own.
    rows = few[few["station_id"] == poor]
    operator = StationOperator(
        fitted(few, training, minimum_observations=1).sel(station=[poor]),
        NORMALISATION,
        rows["time"].to_numpy(),
    )
    when = np.searchsorted(TIMES, rows["time"])
    x = torch.from_numpy(training.fields[when])[None]
    rest = (rows["air_temperature"].to_numpy() - operator(x)[0, :, 0].numpy()).mean()
    bias = float(alone["bias"])
    trust = bias / (bias + rest)
    typical = float(counts[100]["error_variance"].mean())
    between = BIAS_SD**2
    expected = between / (between + typical / days_seen)
    assert trust == pytest.approx(expected, abs=0.12)


def test_what_few_days_leave_unknown_is_in_the_stated_error(world, sites):
    """Of stations seen three times, new reports err as the fit says, doubt of bias included."""
    training, _, _ = world
    even = sites.assign(error=1.0)
    table = reports(exact(np.array(training.fields), TIMES, even), TIMES, even, seed=31)
    poor = even["station_id"][::2]
    table = table[~table["station_id"].isin(poor) | (table["time"] < TIMES[3])]
    found = fitted(table, training, minimum_observations=1, held_out=0.0)
    times = days("2003-05-01", 100)
    fields = weather(100, seed=77)
    observation = observe(
        reports(exact(fields, times, even), times, even, seed=78), found, NORMALISATION, times
    )
    x = torch.from_numpy(fields)[None]
    square = (observation.value - observation.predict(x)[0]) ** 2 / observation.variance(x)[0]
    of = observation.seen % found.sizes["station"]
    of_poor = torch.from_numpy(np.isin(found["station"].values, poor))[of]
    assert float(square[of_poor].mean()) == pytest.approx(1.0, abs=0.12)
    assert float(square[~of_poor].mean()) == pytest.approx(1.0, abs=0.05)


def test_a_network_without_biases_gets_none(tmp_path, sites, world):
    training, _, _ = world
    fields = np.array(training.fields)
    even = sites.assign(bias=0.0, error=1.0)
    table = reports(exact(fields, TIMES, even), TIMES, even, seed=8)
    found = fitted(table, training)
    assert float(np.abs(found["bias"]).max()) < 0.15
    np.testing.assert_allclose(found["error_variance"], 1.0, rtol=0.3)


def test_the_share_held_out_is_seeded_and_the_same_in_any_order():
    ids = np.array([f"{number:03d}" for number in range(50)])
    held = hold_out(ids, 0.2, 1)
    assert len(held) == 10
    assert np.isin(held, ids).all()
    np.testing.assert_array_equal(held, hold_out(np.tile(ids[::-1], 2), 0.2, 1))
    assert not np.array_equal(held, hold_out(ids, 0.2, 2))
    assert len(hold_out(ids, 0.0, 1)) == 0


def test_stations_held_out_never_enter(result, world):
    _, table, _ = world
    held = set(result["station"].values[result["held_out"].values])
    assert len(held) == 24
    absurd = table.copy()
    absurd.loc[absurd["station_id"].isin(held), "air_temperature"] = 1e6
    window = TIMES[100:103]
    observation = observe(absurd, result, NORMALISATION, window)
    assert observation.full.shape == (3, STATIONS - 24)
    assert float(observation.value.max()) < 400
    used = observe(table[~table["station_id"].isin(held)], result, NORMALISATION, window)
    assert torch.equal(used.full.nan_to_num(), observation.full.nan_to_num())
    assert torch.equal(used.variance(torch.zeros(1)), observation.variance(torch.zeros(1)))


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
def test_observations_are_paired_by_time(result, world, unit):
    _, table, _ = world
    window = TIMES[[50, 51, 52]]
    missing = table[table["time"] != window[1]].sample(frac=1, random_state=0)
    missing = missing.assign(time=missing["time"].astype(f"datetime64[{unit}]"))
    observation = observe(missing, result, NORMALISATION, window)
    assert torch.isnan(observation.full[1]).all()
    assert observation.name == "stations"
    stations = result["station"].values[~result["held_out"].values]
    for step in (0, 2):
        of_day = table[table["time"] == window[step]].set_index("station_id")["air_temperature"]
        expected = of_day.reindex(stations).to_numpy(np.float32)
        np.testing.assert_array_equal(observation.full[step], expected)
        assert 0.5 < np.isfinite(expected).mean() < 1


def test_a_fit_is_the_same_in_any_order_and_ignores_other_times(result, world):
    training, table, _ = world
    other = table.assign(time=table["time"] + pd.Timedelta("365D"), air_temperature=1e6)
    shuffled = pd.concat([table, other]).sample(frac=1, random_state=1)
    shuffled["time"] = shuffled["time"].astype("datetime64[us]")
    again = fitted(shuffled, training)
    for name in ("coefficient", "bias", "error_variance"):
        np.testing.assert_allclose(again[name], result[name], rtol=1e-6, atol=1e-9)


def test_stations_held_out_say_nothing_of_the_others(result, world):
    """Whatever they reported in the training period, the free stations' fit is the same."""
    training, table, _ = world
    held = result["held_out"].values
    of_held = table["station_id"].isin(result["station"].values[held])
    warm = table.copy()
    rng = np.random.default_rng(0)
    warm.loc[of_held, "air_temperature"] += 3.0 + 2.0 * rng.standard_normal(of_held.sum())
    again = fitted(warm, training)
    np.testing.assert_array_equal(again["coefficient"], result["coefficient"])
    for name in ("bias", "error_variance"):
        np.testing.assert_array_equal(again[name][~held], result[name][~held])
    # Their own biases and errors are still those of their own reports, shrunk, without the gross.
    assert 2.0 < float((again["bias"] - result["bias"])[held].mean()) < 3.2
    assert float((again["error_variance"] - result["error_variance"])[held].mean()) > 1.5


def test_two_reports_of_one_time_are_averaged(result):
    station = result.isel(station=np.flatnonzero(~result["held_out"].values)[:1])
    row = {
        "station_id": station["station"].values[0],
        "time": TIMES[7],
        "latitude": float(station["latitude"][0]),
        "longitude": float(station["longitude"][0]),
        "elevation": 0.0,
    }
    table = pd.DataFrame([row | {"air_temperature": t} for t in (280.0, 284.0)])
    observation = observe(table, result, NORMALISATION, TIMES[7:8])
    assert observation.value.tolist() == [282.0]


@pytest.mark.parametrize("wrong", [7.5, 149.0, 351.0, 1e30, float("inf"), -float("inf")])
def test_a_report_that_is_no_temperature_names_its_station(result, world, wrong):
    _, table, _ = world
    table = table.copy()
    window = TIMES[100:103]
    free = result["station"].values[~result["held_out"].values]
    of = table.index[(table["time"] == window[1]) & table["station_id"].isin(free)][3]
    table.loc[of, "air_temperature"] = wrong
    name = table.loc[of, "station_id"]
    with pytest.raises(SlamsError, match=f"stream stations: 1 values .* of {name} .*150 to 350"):
        observe(table, result, NORMALISATION, window)


def test_the_window_of_no_report_is_all_missing(result, world):
    observation = observe(world[1].iloc[:0], result, NORMALISATION, TIMES[:3])
    assert observation.full.shape == (3, STATIONS - 24)
    assert len(observation) == 0


def test_the_operator_reads_the_lowest_levels_where_the_station_stands(result, sites):
    times = TIMES[200:203]
    operator = StationOperator(result, NORMALISATION, times).double()
    fields = weather(6, seed=4).reshape(2, 3, len(LEVELS), *GRID.shape)
    x = torch.from_numpy(fields).double().requires_grad_()
    predicted = operator(x)
    assert predicted.shape == (2, 3, STATIONS)
    known = sites.set_index("station_id").loc[result["station"].values].reset_index()
    for member in range(2):
        direct = exact(fields[member], times, known)
        assert np.abs(predicted[member].detach().numpy() - direct).mean() < 0.3
    (gradient,) = torch.autograd.grad(predicted[1, 2, 17], x)
    assert not gradient[0].any() and not gradient[1, :2].any() and not gradient[1, 2, 0].any()
    indices, weights = bilinear(GRID, known["latitude"][17:18], known["longitude"][17:18])
    for level, slope in ((1, "anomaly_0"), (2, "anomaly_1")):
        expected = np.zeros(GRID.shape[0] * GRID.shape[1])
        coefficient = float(result["coefficient"].sel(predictor=slope))
        np.add.at(expected, indices[0], coefficient * SCALE[level] * weights[0])
        found = gradient[1, 2, level].flatten().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_poles_and_the_date_line_are_no_seams(tmp_path, world):
    """A smooth field read near a seam is as accurate as anywhere."""
    training, _, _ = world
    places = {
        "north pole": (89.5, 123.0),
        "south pole": (-89.5, 300.0),
        "west of Greenwich": (10.0, 359.5),
        "east of Greenwich": (10.0, 0.5),
        "date line": (-40.0, 180.0),
        "inland": (40.0, 60.0),
    }
    rng = np.random.default_rng(0)
    sites = pd.DataFrame(
        [(name, *place, 0.0, 0.0, 0.1) for name, place in places.items()],
        columns=["station_id", "latitude", "longitude", "elevation", "bias", "error"],
    )
    sites = pd.concat(
        [sites]
        + [
            sites.assign(
                station_id=sites["station_id"] + f" {turn}",
                longitude=(sites["longitude"] + 60 * turn) % 360,
            )
            for turn in range(1, 6)
        ]
    ).reset_index(drop=True)
    table = reports(exact(np.array(training.fields), TIMES, sites), TIMES, sites, seed=6)
    operator = StationOperator(fitted(table, training), NORMALISATION, TIMES[:1])
    direction = rng.standard_normal(3)
    field = np.tensordot(direction, cartesian(), axes=1)
    x = torch.zeros(1, 1, len(LEVELS), *GRID.shape)
    base = operator(x)
    x[:, :, 2] = torch.from_numpy(field)
    read = (operator(x) - base)[0, 0].numpy() / float(operator.slope[1])
    known = sites.sort_values("station_id")
    phi, lam = np.radians(known["latitude"]), np.radians(known["longitude"])
    true = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    # Bilinear on cells of 22.5 degrees: an error of at most h^2 / 8 in each direction.
    assert np.abs(read - direction @ true).max() < 2 * np.radians(22.5) ** 2 / 8 * 1.5


def test_no_observation_is_an_error_that_names_the_archive(world):
    training, table, _ = world
    with pytest.raises(SlamsError, match=r"archives.stations: 0 observations coincide in time"):
        fitted(table.iloc[:0], training)


def test_a_fit_in_pieces_is_that_of_the_whole(world, result, monkeypatch):
    """A few days are asked for at a time, and a few rows are in memory."""
    training, table, _ = world
    asked = []

    def of(times: np.ndarray) -> pd.DataFrame:
        asked.append(len(times))
        return table[table["time"].isin(times)]

    monkeypatch.setattr(stations_fit, "TIMES_A_PIECE", 7)
    monkeypatch.setattr(rows, "ROWS_A_PIECE", 501)
    found = fitted(of, training)
    assert max(asked) == 7
    xr.testing.assert_allclose(found, result, rtol=1e-9)
    assert found.attrs.keys() == result.attrs.keys()
    for name, value in result.attrs.items():
        assert found.attrs[name] == pytest.approx(value), name


def test_too_few_coincident_observations_are_an_error(world):
    training, table, _ = world
    late = table.assign(time=table["time"] + pd.Timedelta("1h"))
    with pytest.raises(SlamsError, match=r"archives.stations: 0 observations coincide in time"):
        fitted(late, training)
    with pytest.raises(SlamsError, match=r"99 observations coincide .* \(at least 100\)"):
        fitted(table.iloc[:99], training, held_out=0.0)
    few = table.iloc[:110]
    with pytest.raises(SlamsError, match=r"at stations that are not held out, too few"):
        fitted(few, training)
    fitted(few, training, held_out=0.0, minimum_observations=1)
    with pytest.raises(SlamsError, match=r"lower archives.stations.minimum_observations"):
        fitted(table, training, minimum_observations=366)


def test_a_station_seen_too_rarely_is_left_out(world, sites):
    training, table, _ = world
    rare = sites["station_id"][0]
    table = table[(table["station_id"] != rare) | (table["time"] < TIMES[30])]
    assert rare not in fitted(table, training)["station"].values
    assert rare in fitted(table, training, minimum_observations=10)["station"].values


def test_what_a_station_reports_from_elsewhere_is_left_out(world, result):
    training, table, _ = world
    mover = result["station"].values[~result["held_out"].values][0]
    table = table.copy().reset_index(drop=True)
    moved = (table["station_id"] == mover) & (table["time"] >= TIMES[300])
    table.loc[moved, "latitude"] = -table.loc[moved, "latitude"] / 2
    table.loc[moved, "air_temperature"] = 200.0
    found = fitted(table, training)
    assert found.attrs["left_out_as_moved"] == moved.sum() > 20
    one, other = (data.sel(station=mover) for data in (found, result))
    assert float(one["latitude"]) == pytest.approx(float(other["latitude"]))
    assert float(one["bias"]) == pytest.approx(float(other["bias"]), abs=0.3)
    window = TIMES[[299, 300, 301]]
    of_mover = table["station_id"] == mover
    extra = table[of_mover & ~moved].iloc[:1].assign(time=window[0], air_temperature=281.0)
    table = pd.concat([table[~(of_mover & (table["time"] == window[0]))], extra])
    observation = observe(table, found, NORMALISATION, window)
    place = list(found["station"].values[~found["held_out"].values]).index(mover)
    seen = observation.full[:, place]
    assert float(seen[0]) == 281.0
    assert torch.isnan(seen[1:]).all()


def test_a_station_on_greenwich_stands_there(world, sites):
    """Reports on either side of 0 E do not put it where it reported from now and then."""
    training, table, _ = world
    name = sites["station_id"][0]
    table = table.copy().reset_index(drop=True)
    at = np.flatnonzero(table["station_id"] == name)
    table.loc[at, "latitude"] = 30.0
    table.loc[at, "longitude"] = np.array([0.01, 10.0, 359.99])[np.arange(len(at)) % 3]
    found = fitted(table, training)
    assert found.attrs["left_out_as_moved"] == (table.loc[at, "longitude"] == 10.0).sum()
    assert float(found["longitude"].sel(station=name)) in (359.99, 0.01)


@pytest.mark.parametrize("name", ["elevation", "latitude"])
def test_a_station_without_a_place_is_named(world, sites, name):
    training, table, _ = world
    station = sites["station_id"][2]
    table = table.copy()
    table.loc[table["station_id"] == station, name] = np.nan
    with pytest.raises(SlamsError, match=f"station {station} has no position or no elevation"):
        fitted(table, training)
