"""Verification by the stations held out: against what is known of a made-up world."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from made_cells import pick
from scipy.stats import norm
from worlds import GRID, LEVELS, SHAPE, days, statistics, weather

from slams import verification
from slams.errors import SlamsError
from slams.grid import bilinear
from slams.observation.stations import StationOperator
from slams.statistics import Normalisation
from slams.surface import Regression
from slams.verification import Stations

STATISTICS = statistics()
NORMALISATION = Normalisation(STATISTICS)
COUNT, CASES, STEPS, MEMBERS, USED = 40, 10, 3, 8, 2
TIMES = days("2003-04-01", 10 * CASES).reshape(CASES, 10)[:, :STEPS]
NAMES = np.array([f"{number:06d}-99999" for number in range(COUNT)])
HELD = np.arange(COUNT) % 4 == 1
ERROR = np.linspace(0.5, 2.0, COUNT)  # K


def fitted() -> xr.Dataset:
    """What a fit would give, with every fourth station held out."""
    rng = np.random.default_rng(0)
    latitude = np.degrees(np.arcsin(rng.uniform(-1, 1, COUNT)))
    longitude = rng.uniform(0, 360, COUNT)
    indices, weights = bilinear(GRID, latitude, longitude)
    return xr.Dataset(
        {
            "coefficient": ("predictor", [30.0, 0.2, 0.7, 0.3, 0.9, -5.0, 3.0]),
            "bias": ("station", rng.normal(0, 0.5, COUNT)),
            "error_variance": ("station", ERROR**2),
            "held_out": ("station", HELD),
            "latitude": ("station", latitude),
            "longitude": ("station", longitude),
            "indices": (("station", "corner"), indices),
            "weights": (("station", "corner"), weights),
            "fixed": (("station", "place"), rng.uniform(0, 1, (COUNT, 2))),
        },
        {"station": NAMES},
        {"levels_hPa": LEVELS[-USED:]},
    )


FIT = fitted()
OUT = FIT.isel(station=np.flatnonzero(HELD))


def kelvin(anomalies: np.ndarray) -> np.ndarray:
    """States (case, [member,] step, level, ...) in K of anomalies."""
    return np.stack([NORMALISATION.to_kelvin(a, t) for a, t in zip(anomalies, TIMES, strict=True)])


def at_stations(states: np.ndarray, fit: xr.Dataset = OUT) -> np.ndarray:
    """H of states (case, ..., step, level, ...) in K, by the operator that assimilates them."""
    found = []
    for state, times in zip(states, TIMES, strict=True):
        operator = StationOperator(fit, NORMALISATION, times).double()
        normal = (state - NORMALISATION.reference(times)) / NORMALISATION.scale[:, None, None]
        x = torch.from_numpy(normal.reshape(-1, *normal.shape[-4:]))
        found.append(operator(x).detach().numpy().reshape(*normal.shape[:-3], -1))
    return np.stack(found)


def world(width: float = 1.0, seed: int = 0) -> tuple[xr.Dataset, xr.Dataset, Stations]:
    """A cell whose members are as far from the best estimate as the truth, and its stations."""
    rng = np.random.default_rng(seed)
    fields = weather(CASES * STEPS * (MEMBERS + 2), seed=seed)
    fields = fields.reshape(CASES, MEMBERS + 2, STEPS, *SHAPE)
    best, truth, members = fields[:, 0], fields[:, 1], fields[:, 2:]
    truth = kelvin(best + 0.5 * truth)
    ensemble = kelvin(best[:, None] + 0.5 * width * members)
    cells = ("step", "level", "latitude", "longitude")
    coordinates = {
        "time": (("case", "step"), TIMES),
        "level": LEVELS,
        "latitude": GRID.latitude,
        "longitude": GRID.longitude,
    }
    analysis = xr.Dataset(
        {"analysis": (("case", "member", *cells), ensemble), "truth": (("case", *cells), truth)},
        coordinates,
        {"arm": "both", "axis": "coarse", "axis_value": "2", "streams": "background stations"},
    )
    used = np.ones((CASES, STEPS, (~HELD).sum()), np.int8)
    analysis["station_used"] = (("case", "step", "station"), used)
    analysis = analysis.assign_coords(station=NAMES[~HELD])
    estimate = kelvin(best)
    classical = xr.Dataset(coords=coordinates | {"station": OUT["station"].values})
    shape = (CASES, STEPS, HELD.sum())
    for name in ("climatology", "interpolation", "oi", "letkf"):
        classical[name] = (("case", *cells), estimate)
        classical[f"{name}_stations"] = (("case", "step", "station"), at_stations(estimate))
        if name != "interpolation":
            classical[f"{name}_spread"] = (("case", *cells), np.full(estimate.shape, 1.5))
            classical[f"{name}_stations_spread"] = (
                ("case", "step", "station"),
                np.full(shape, 1.5),
            )
    classical["climatology_spread"] = (cells[1:], np.full(SHAPE, 1.5))
    exact = at_stations(truth, FIT)
    table = pd.DataFrame(
        {
            "time": np.repeat(TIMES.ravel(), COUNT),
            **{n: np.tile(FIT[n].values, TIMES.size) for n in ("latitude", "longitude")},
            "station_id": np.tile(NAMES, TIMES.size),
            "air_temperature": (exact + ERROR * rng.normal(size=exact.shape)).ravel(),
        }
    )
    kept = rng.permutation(len(table))[: int(0.8 * len(table))]
    return analysis, classical, Stations(FIT, table.iloc[kept])


def scores_of(made: tuple[xr.Dataset, xr.Dataset, Stations], every: int = 1) -> pd.DataFrame:
    analysis, classical, stations = made
    return verification.score_cell(
        analysis, classical, STATISTICS, stations=stations, every=every, bootstrap=100
    )


@pytest.fixture(scope="module")
def made() -> tuple[xr.Dataset, xr.Dataset, Stations]:
    return world()


@pytest.fixture(scope="module")
def scores(made) -> pd.DataFrame:
    return scores_of(made)


def observed(stations: Stations) -> np.ndarray:
    """(case, step, station held out), NaN where nothing was reported."""
    wide = stations.table.pivot_table(
        index="time", columns="station_id", values="air_temperature", aggfunc="mean"
    )
    wide = wide.reindex(index=TIMES.ravel(), columns=NAMES[HELD])
    return wide.to_numpy().reshape(CASES, STEPS, -1)


def test_the_regression_is_that_which_assimilates():
    states = kelvin(weather(CASES * STEPS, seed=3).reshape(CASES, STEPS, *SHAPE))
    for case in range(CASES):
        found = Regression.of(FIT, NORMALISATION, TIMES[case]).temperature(
            states[case].astype(np.float64)
        )
        np.testing.assert_allclose(found, at_stations(states, FIT)[case], atol=1e-3)


def test_scores_are_those_of_the_reports(scores, made):
    analysis, _, stations = made
    y = observed(stations)
    seen = np.isfinite(y)
    values = at_stations(analysis["analysis"].values)  # (case, member, step, station)
    error = values.mean(1) - y
    assert pick(scores, "analysis", "observations", "2 m")["value"] == seen.sum() > 200
    found = pick(scores, "analysis", "rmse", "2 m")
    assert found["value"] == pytest.approx(np.sqrt(np.nanmean(error**2)), rel=1e-4)
    assert found["unit"] == "K" and found["cases"] == CASES and found["members"] == MEMBERS
    assert found["lower"] < found["value"] < found["upper"]
    bias = pick(scores, "analysis", "bias", "2 m")["value"]
    assert bias == pytest.approx(np.nanmean(error), abs=1e-4)
    claimed = (MEMBERS + 1) / MEMBERS * values.var(1, ddof=1) + OUT["error_variance"].values
    ratio = np.sqrt(claimed[seen].mean() / np.nanmean(error**2))
    assert pick(scores, "analysis", "spread_skill", "2 m")["value"] == pytest.approx(
        ratio, rel=1e-4
    )
    name = np.datetime_as_string(TIMES[4, 0], "h")
    assert pick(scores, "analysis", "observations", "2 m", name)["value"] == seen[4].sum()
    one = np.sqrt(np.nanmean(error[4] ** 2))
    assert pick(scores, "analysis", "rmse", "2 m", name)["value"] == pytest.approx(one, rel=1e-4)


def test_of_a_gaussian_in_closed_form(scores, made):
    _, classical, stations = made
    y = observed(stations)
    seen = np.isfinite(y)
    mean = classical["oi_stations"].values[seen]
    sd = np.sqrt(1.5**2 + np.broadcast_to(OUT["error_variance"].values, seen.shape)[seen])
    z = (y[seen] - mean) / sd
    crps = sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - np.pi**-0.5)
    assert pick(scores, "oi", "crps", "2 m")["value"] == pytest.approx(crps.mean(), rel=1e-5)
    assert pick(scores, "oi", "spread", "2 m")["value"] == pytest.approx(np.sqrt((sd**2).mean()))
    found = pick(scores, "interpolation", "crps", "2 m")["value"]
    assert found == pytest.approx(np.abs(y[seen] - mean).mean(), rel=1e-5)


def test_a_calibrated_ensemble_is_calibrated_at_stations_and_better_than_another(scores):
    ratio = pick(scores, "analysis", "spread_skill", "2 m")["value"]
    assert ratio == pytest.approx(1.0, abs=0.12)
    narrow = scores_of(world(width=0.1))
    assert pick(narrow, "analysis", "spread_skill", "2 m")["value"] < ratio - 0.05
    crps = [pick(of, "analysis", "crps", "2 m")["value"] for of in (scores, narrow)]
    # The members' fair CRPS is that of a Gaussian of the world's own variances.
    own = pick(scores, "oi", "crps", "2 m")["value"]
    assert crps[0] < crps[1]
    assert crps[0] == pytest.approx(own, rel=0.15)


def test_only_stations_held_out_count(scores, made):
    analysis, classical, stations = made
    table = stations.table
    free = table[~table["station_id"].isin(NAMES[HELD])]
    absurd = table.assign(
        air_temperature=table["air_temperature"].where(~table.index.isin(free.index), 300.0)
    )
    again = scores_of((analysis, classical, Stations(FIT, absurd)))
    pd.testing.assert_frame_equal(again, scores)


def test_reports_from_elsewhere_or_of_other_times_are_left_out(scores, made):
    analysis, classical, stations = made
    moved = stations.table.assign(latitude=-stations.table["latitude"] / 2, air_temperature=200.0)
    late = stations.table.assign(
        time=stations.table["time"] + pd.Timedelta("1h"), air_temperature=200.0
    )
    more = Stations(FIT, pd.concat([stations.table, moved, late]))
    pd.testing.assert_frame_equal(scores_of((analysis, classical, more)), scores)


def test_only_the_times_of_a_case_are_asked_for(scores, made):
    """Reports that are read as they are needed give the same, and the test period never is."""
    analysis, classical, stations = made
    asked = []

    def table(times):
        asked.append(times)
        return stations.table[stations.table["time"].isin(times)]

    pd.testing.assert_frame_equal(scores_of((analysis, classical, Stations(FIT, table))), scores)
    np.testing.assert_array_equal(np.stack(asked), TIMES)


def test_a_case_without_a_report_counts_nothing(made):
    analysis, classical, stations = made
    table = stations.table
    without = Stations(FIT, table[~table["time"].isin(TIMES[3])])
    scores = scores_of((analysis, classical, without))
    name = np.datetime_as_string(TIMES[3, 0], "h")
    assert pick(scores, "analysis", "observations", "2 m", name)["value"] == 0
    assert np.isnan(pick(scores, "analysis", "rmse", "2 m", name)["value"])
    row = pick(scores, "analysis", "rmse", "2 m")
    assert np.isfinite(row[["value", "lower", "upper"]].astype(float)).all()
    squares = np.nanmean(
        (at_stations(analysis["analysis"].values).mean(1) - observed(without)) ** 2
    )
    assert row["value"] == pytest.approx(squares**0.5, rel=1e-4)


def test_reports_of_one_case_say_nothing_of_others(made):
    """No interval, not one of no width, by which any difference would be sure."""
    analysis, classical, stations = made
    table = stations.table
    alone = Stations(FIT, table[table["time"].isin(TIMES[1])])
    scores = scores_of((analysis, classical, alone))
    for score in ("rmse", "bias", "crps", "spread", "spread_skill"):
        row = pick(scores, "analysis", score, "2 m")
        assert np.isfinite(row["value"]) and np.isnan([row["lower"], row["upper"]]).all()
        assert np.isfinite(pick(scores, "analysis", score, "500")["lower"])


def test_without_any_report_scores_are_missing_and_the_number_says_why(made):
    analysis, classical, _ = made
    empty = Stations(FIT, world()[2].table.iloc[:0])
    scores = scores_of((analysis, classical, empty))
    at_stations = scores[scores["level"] == "2 m"]
    counts = at_stations["score"] == "observations"
    assert (at_stations.loc[counts, "value"] == 0).all()
    assert at_stations.loc[~counts, "value"].isna().all()
    assert scores.loc[scores["level"] == "500", "value"].notna().all()


def test_no_station_held_out_gives_no_rows(made):
    analysis, classical, stations = made
    none = FIT.assign(held_out=("station", np.zeros(COUNT, bool)))
    scores = scores_of((analysis, classical, Stations(none, stations.table)))
    assert "2 m" not in set(scores["level"])


def refused(made, match: str) -> None:
    with pytest.raises(SlamsError, match=match):
        scores_of(made)


def test_a_station_held_out_that_was_used_is_refused(made):
    analysis, classical, stations = made
    name = NAMES[HELD][2]
    names = analysis["station"].values.copy()
    names[5] = name
    wrong = analysis.assign_coords(station=names).copy(deep=True)
    refused((wrong, classical, stations), f"arm both: station {name} is held out .* analysis used")
    # It may be known, as long as it is never used.
    wrong["station_used"][:, :, 5] = 0
    assert len(scores_of((wrong, classical, stations)))
    silent = analysis.drop_vars("station_used")
    refused((silent, classical, stations), "does not say which stations it used")
    other = silent.assign_attrs(streams="background imagery")
    assert len(scores_of((other, classical, stations)))


def test_steps_that_are_not_scored_are_looked_at_too(made):
    """What a station held out said at the second step is in the analysis of the first."""
    analysis, classical, stations = made
    names = analysis["station"].values.copy()
    names[5] = NAMES[HELD][2]
    wrong = analysis.assign_coords(station=names).copy(deep=True)
    wrong["station_used"][:, ::2, 5] = 0
    with pytest.raises(SlamsError, match=f"arm both: station {NAMES[HELD][2]} is held out"):
        scores_of((wrong, classical, stations), every=2)
    first = (data.isel(step=slice(None, None, 2)) for data in (analysis, classical))
    expected = scores_of((*first, stations))
    pd.testing.assert_frame_equal(scores_of((analysis, classical, stations), every=2), expected)


def test_what_the_classical_analyses_must_say_of_stations(made):
    analysis, classical, stations = made
    for name in ("oi_stations", "letkf_stations_spread", "interpolation_stations"):
        refused((analysis, classical.drop_vars(name), stations), f"lack the variable {name}")
    fewer = classical.isel(station=slice(1, None))
    refused((analysis, fewer, stations), f"lacks 1 stations held out, the first {NAMES[HELD][0]}")
    broken = classical.copy(deep=True)
    broken["oi_stations"][2] = np.nan
    refused(
        (analysis, broken, stations),
        "what oi says of the stations held out is not finite in the case from 2003-04-21",
    )
    turned = classical.isel(station=slice(None, None, -1))
    pd.testing.assert_frame_equal(
        scores_of((analysis, turned, stations)), scores_of((analysis, classical, stations))
    )


@pytest.mark.parametrize("wrong", [12.5, 1e30, np.inf])
def test_a_report_that_is_no_temperature_is_named(made, wrong):
    analysis, classical, stations = made
    table = stations.table.copy()
    at = table.index[table["station_id"].isin(NAMES[HELD])][7]
    table.loc[at, "air_temperature"] = wrong
    name = table.loc[at, "station_id"]
    refused((analysis, classical, Stations(FIT, table)), f"station {name}, held out .* reports")


def test_a_fit_of_another_grid_is_refused():
    regression = Regression.of(FIT, NORMALISATION, TIMES[0])
    with pytest.raises(SlamsError, match="fitted on 8 x 16 cells, the fields have 4 x 8"):
        regression.temperature(np.zeros((STEPS, len(LEVELS), 4, 8)))


@pytest.mark.parametrize("levels", [[700.0, 925.0], [850.0, 700.0], [10.0, 500.0, 700.0, 850.0]])
def test_a_fit_of_other_levels_is_refused(levels):
    told = ", ".join(f"{level:g}" for level in levels)
    with pytest.raises(SlamsError, match=f"fitted on the levels {told} hPa, the state's lowest"):
        Regression.of(FIT.assign_attrs(levels_hPa=levels), NORMALISATION, TIMES[0])
