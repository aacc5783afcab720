"""Results as the workflow makes them, made up: tables, analyses, stations, residuals."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from slams.grid import Grid
from slams.verification import COLUMNS

ARMS = ["pixel-background", "latent-background", "latent-stations", "latent-imagery", "latent-both"]
NO_BACKGROUND = "latent-no-background"
CELLS = {
    "coarse": [4.0, 8.0, 12.0, 20.0],
    "noise": [0.5, 1.0, 2.0, 4.0],
    "sparse": [4.0, 8.0, 16.0],
}
LEVELS = ("50", "200", "500", "700", "850", "1000")
CASES = ("2001-01-05T00", "2001-02-05T00")
MEMBERS = 8
# CRPS over that of the analysis of the first arm, at the weakest degradation.
CLASSICAL = {"climatology": 2.6, "interpolation": 1.4, "oi": 1.1, "letkf": 1.2}


def scores_of(
    arms: list[str] | None = None,
    cells: Mapping[str, list[float]] | None = None,
    levels: tuple[str, ...] = LEVELS,
    intervals: bool = True,
    no_background: bool = True,
    stations: bool = False,
    members: int = MEMBERS,
) -> pd.DataFrame:
    """A merged table that looks like that of an experiment."""
    arms = ARMS if arms is None else arms
    cells = CELLS if cells is None else cells
    where = [(arm, axis, v) for arm in arms for axis, values in cells.items() for v in values]
    where += [(NO_BACKGROUND, "none", 0.0)] if no_background else []
    rows = []
    for arm, axis, strength in where:
        place = cells.get(axis, [0.0]).index(strength)
        arm_quality = 1.0 - 0.1 * (arms.index(arm) if arm in arms else 3)
        for method, factor in {"analysis": arm_quality, **CLASSICAL}.items():
            crps = factor * (0.7 + 0.35 * place) + (1.2 if axis == "none" else 0)
            crps = factor if method == "climatology" else crps
            count = {"analysis": members, "interpolation": 1}.get(method, 0)
            names = {"arm": arm, "axis": axis, "axis_value": strength, "method": method}
            for level in [*levels, "all", *(["2 m"] if stations else [])]:
                values = _scores(crps * _depth(level), method, count)
                rows += [
                    names | {"level": level, "members": count, "cases": 2} | row
                    for row in _rows(values, intervals)
                ]
                if level not in ("all", "2 m"):
                    rows += [
                        names | {"level": level, "members": count, "cases": 2} | row
                        for row in _bins(method, count)
                    ]
    return pd.DataFrame(rows)[list(COLUMNS)]


def _depth(level: str) -> float:
    return 1.0 if level in ("all", "2 m") else 0.7 + 0.5 * np.sin(float(level) / 300)


def _scores(crps: float, method: str, members: int) -> dict[str, float]:
    values = {"crps": crps, "rmse": 1.8 * crps, "bias": 0.1 * np.cos(10 * crps)}
    values["wasserstein"] = 0.2 * crps
    if members != 1:
        values |= {"spread": 1.5 * crps, "spread_skill": 1.5 / 1.8}
    if method == "analysis" and members > 1:
        values["rank_flatness"] = 0.03
    return values


def _rows(values: Mapping[str, float], intervals: bool) -> list[dict]:
    """Over all cases with an interval, and for each case without."""
    rows = []
    for score, value in values.items():
        half = 0.08 * abs(value) if intervals else np.nan
        unit = "K" if score in ("crps", "rmse", "bias", "spread") else "1"
        row = {"score": score, "bin": -1, "unit": unit}
        rows.append(
            row | {"case": "all", "value": value, "lower": value - half, "upper": value + half}
        )
        rows += [
            row | {"case": case, "value": value, "lower": np.nan, "upper": np.nan} for case in CASES
        ]
    return rows


def _bins(method: str, members: int) -> list[dict]:
    """A rank histogram like a U, and a spectrum that loses its small scales."""
    rows = []
    row = {"case": "all", "lower": np.nan, "upper": np.nan, "unit": "1"}
    if members != 1:
        ranks = np.arange((members or MEMBERS) + 1)
        height = 1 + 0.3 * (2 * ranks / ranks[-1] - 1) ** 2
        for rank, value in zip(ranks, height / height.mean(), strict=True):
            bounds = {"lower": value - 0.1, "upper": value + 0.1}
            rows.append(row | {"score": "rank_histogram", "bin": rank, "value": value} | bounds)
    for wave in range(13):
        truth = (1.0 + wave) ** -3
        ratio = 1.0 if method == "analysis" else 1 / (1 + 0.02 * wave**2)
        rows.append(row | {"score": "power", "bin": wave, "value": truth * ratio, "unit": "K2"})
        rows.append(row | {"score": "power_ratio", "bin": wave, "value": ratio})
    return rows


def comparisons_of(scores: pd.DataFrame) -> pd.DataFrame:
    """Every arm against OI of its observations, and against the first arm."""
    rows = []
    plain = scores[(scores["case"] == "all") & (scores["bin"] == -1) & (scores["score"] == "crps")]
    value = plain.set_index(["arm", "axis", "axis_value", "method", "level"])["value"]
    reference = plain["arm"].iloc[0]
    for arm, axis, strength, level in dict.fromkeys(
        plain[["arm", "axis", "axis_value", "level"]].itertuples(index=False, name=None)
    ):
        ours = value[arm, axis, strength, "analysis", level]
        for other, method in ((arm, "oi"), (reference, "analysis")):
            key = (other, axis, strength, method, level)
            if key not in value.index or (other == arm and method == "analysis"):
                continue
            difference = ours - value[key]
            rows.append(
                {
                    **{"arm": arm, "method": "analysis", "against_arm": other},
                    **{"against_method": method, "axis": axis, "axis_value": strength},
                    **{"score": "crps", "level": level, "difference": difference},
                    "percent": 100 * difference / value[key],
                    "lower": difference - 0.1,
                    "upper": difference + 0.1,
                    "p_value": 0.04,
                    "cases": 2,
                }
            )
    return pd.DataFrame(rows)


def smooth(grid: Grid, rng: np.random.Generator, waves: int = 6) -> np.ndarray:
    """A field of a few large waves, (latitude, longitude)."""
    phi, lam = np.deg2rad(grid.latitude)[:, None], np.deg2rad(grid.longitude)[None, :]
    field = np.zeros(grid.shape)
    for k in range(1, waves):
        field += rng.normal() * np.cos(phi) ** 2 * np.cos(k * lam + 3 * rng.normal() * phi) / k**0.5
    return field


def cell_of(
    spacing: float = 11.25,
    members: int = 4,
    steps: int = 3,
    cases: int = 2,
    background: bool = True,
    stations: int = 20,
) -> tuple[xr.Dataset, xr.Dataset]:
    """`analysis.nc` and the `classical.nc` beside it, of a planet with a warm equator."""
    grid, rng = Grid(spacing), np.random.default_rng(0)
    levels = np.array([500.0, 850.0])
    shape = (cases, steps, 2, *grid.shape)
    climate = 255 + 45 * np.cos(np.deg2rad(grid.latitude))[:, None] ** 2 * np.ones(grid.shape)

    def fields(size: float) -> np.ndarray:
        return size * np.stack([smooth(grid, rng) for _ in range(int(np.prod(shape[:3])))])

    truth = climate + fields(4.0).reshape(shape)
    best = truth + fields(0.7).reshape(shape)
    noise = fields(1.0).reshape(shape)
    ensemble = np.stack([best + np.cos(2 * m + 1) * noise for m in range(members)], axis=1)
    field = ("case", "step", "level", "latitude", "longitude")
    first = np.datetime64("2001-01-05", "ns") + 31 * np.arange(cases) * np.timedelta64(1, "D")
    coordinates = {
        "case": np.arange(cases),
        "level": levels,
        "latitude": grid.latitude,
        "longitude": grid.longitude,
        "time": (("case", "step"), first[:, None] + np.arange(steps) * np.timedelta64(1, "D")),
    }
    guess = truth + fields(2.0).reshape(shape) if background else np.full(shape, np.nan)
    analysis = xr.Dataset(
        {
            "analysis": (("case", "member", *field[1:]), ensemble),
            "truth": (field, truth),
            "background": (field, guess),
            "observations_used": (("case", "stream"), np.full((cases, 2), 100)),
            "observations_refused": (("case", "stream"), np.full((cases, 2), 3)),
            "observations_deweighted": (("case", "stream"), np.full((cases, 2), 5)),
        },
        coordinates | {"stream": ["background", "stations"]},
        {"arm": "latent-both", "axis": "coarse" if background else "none", "axis_value": 4},
    )
    if stations:
        used = np.ones((cases, steps, stations), np.int8)
        used[..., 0] = 0
        analysis["station_used"] = (("case", "step", "station"), used)
        analysis["station_latitude"] = ("station", np.linspace(-60, 70, stations))
        analysis["station_longitude"] = ("station", np.linspace(0, 350, stations))
    classical = xr.Dataset(
        {
            "climatology": (field, np.broadcast_to(climate, shape)),
            "climatology_spread": (field[2:], np.full(shape[2:], 4.0)),
            "interpolation": (field, truth + fields(1.5).reshape(shape)),
            "oi": (field, truth + fields(1.0).reshape(shape)),
            "oi_spread": (field, np.full(shape, 1.0)),
        },
        coordinates,
    )
    return analysis, classical


def land(spacing: float = 5.0) -> xr.DataArray:
    """Two continents, one of them across the date line."""
    grid = Grid(spacing)
    east = (grid.longitude + 60) % 360
    inside = (abs(grid.latitude) < 50)[:, None] & ((east < 100) | (abs(east - 230) < 30))[None, :]
    coords = {"latitude": grid.latitude, "longitude": grid.longitude}
    return xr.DataArray(inside.astype(float), coords, ("latitude", "longitude"))


def network(stations: int = 300) -> pd.DataFrame:
    """The stations of a network, with unevenly many observations."""
    rng = np.random.default_rng(1)
    count = rng.integers(1, 400, stations)
    return pd.DataFrame(
        {
            "latitude": np.rad2deg(np.arcsin(rng.uniform(-0.9, 0.98, stations))),
            "longitude": rng.uniform(0, 360, stations),
            "rows": count,
        },
        pd.Index([f"{i:06d}-99999" for i in range(stations)], name="station_id"),
    )


REJECTED = pd.DataFrame(
    {
        "file": ["a.gz", "b.gz", "c.csv", "c.csv"],
        "station_id": ["1", "2", "3", "3"],
        "reason": ["missing_value", "missing_value", "gross error", "position 0/0"],
        "rows": [9000, 1200, 41, 3],
    }
)


def curve(steps: int = 400, seed: int = 0) -> pd.DataFrame:
    """The loss curve of a network."""
    rng = np.random.default_rng(seed)
    step = np.arange(0, steps, 5)
    loss = 0.1 + np.exp(-step / 60) * rng.lognormal(0, 0.1, step.size)
    validation = np.where(step % 50 == 0, loss * 1.05, np.nan)
    return pd.DataFrame(
        {"step": step, "train_loss": loss, "validation_loss": validation, "seconds": step * 0.2}
    )


def residuals(constant: bool = False, inflation: float = 1.0) -> pd.DataFrame:
    """Residuals of two streams whose error models are right."""
    rng = np.random.default_rng(2)
    sd = np.full(2000, 1.5) if constant else rng.uniform(1, 6, 2000)
    return pd.DataFrame(
        {
            "stream": np.repeat(["stations", "imagery"], 1000),
            "unit": "K",
            "predicted_sd": sd,
            "assimilated_sd": sd * np.repeat([1.0, inflation], 1000),
            "residual": rng.normal(size=2000) * sd,
            "refused": np.arange(2000) % 500 == 0,
        }
    )
