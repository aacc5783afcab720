"""Made-up cells in the form of analysis.nc, classical.nc and statistics.nc, calibrated or not."""

from datetime import datetime

import numpy as np
import pandas as pd
import xarray as xr

from slams import verification
from slams.grid import Grid

GRID = Grid(30.0)
CELLS = {"latitude": GRID.latitude, "longitude": GRID.longitude}
LEVELS = np.array([500.0, 850.0, *range(1000, 1200)])
FIRST = np.datetime64("2003-04-01", "ns")
PERIOD = (datetime(2003, 4, 1), datetime(2004, 12, 31, 23, 59))
SCALE = 2.0  # K, of every level

Cell = tuple[xr.Dataset, xr.Dataset, xr.Dataset]


def field(values: object = 0.0, **leading: int) -> xr.DataArray:
    """A field of any leading dimensions, `values` broadcast to its shape."""
    shape = (*leading.values(), *GRID.shape)
    data = np.broadcast_to(np.asarray(values, np.float64), shape).copy()
    coords = CELLS | ({"level": LEVELS[: leading["level"]]} if "level" in leading else {})
    return xr.DataArray(data, coords, (*leading, "latitude", "longitude"))


def cell_of(
    *,
    cases: int = 4,
    members: int = 8,
    steps: int = 2,
    levels: int = 2,
    seed: int = 0,
    width: float = 1.0,
    axis: str = "coarse",
) -> Cell:
    """A cell whose truth and members are Gaussian about an estimate, every point by itself.

    The members' standard deviation is `width` times that of the truth. climatology, oi and letkf
    are Gaussians that are right.
    """
    rng = np.random.default_rng(seed)
    shape = {"case": cases, "step": steps, "level": levels}
    full = (cases, steps, levels, *GRID.shape)
    estimate = rng.normal(size=full)
    truth = field(estimate + rng.normal(size=full), **shape)
    noise = rng.normal(size=(members, *full)) * width
    ensemble = field(estimate + noise, member=members, **shape).transpose("case", "member", ...)
    days = np.arange(cases * 10).reshape(cases, 10)[:, :steps]
    time = {"time": (("case", "step"), FIRST + days * np.timedelta64(1, "D"))}
    analysis = xr.Dataset(
        {
            "analysis": ensemble,
            "truth": truth,
            "observations_used": (("case", "stream"), np.full((cases, 1), 9)),
        },
        time | {"stream": ["background"]},
        {
            "arm": "pixel+background",
            "axis": axis,
            "axis_value": 4,
            "seed": 3,
            "streams": "background",
        },
    )
    classical = xr.Dataset(
        {
            "interpolation": field(estimate + 2 * rng.normal(size=full), **shape),
            "climatology": field(0.0, **shape),
            "climatology_spread": field(2**0.5, level=levels),
            "oi": field(estimate, **shape),
            "oi_spread": field(1.0, **shape),
            "letkf": field(estimate, **shape),
            "letkf_spread": field(1.0, **shape),
        },
        time,
    )
    if axis == "persistence":
        classical["persistence"] = field(estimate + rng.normal(size=full), **shape)
    statistics = xr.Dataset(
        {"global_standard_deviation": ("level", np.full(levels, SCALE))},
        {"level": LEVELS[:levels], **CELLS},
    )
    kinds = dict.fromkeys(("analysis", "truth"), np.float32)
    return (
        analysis.assign({n: analysis[n].astype(k) for n, k in kinds.items()}),
        (classical.astype(np.float32)),
        statistics,
    )


def scores_of(cell: Cell | None = None, **keywords: object) -> pd.DataFrame:
    """The table of a cell."""
    settings = {"period": PERIOD, "bootstrap": 100}
    return verification.score_cell(*(cell or cell_of()), **(settings | keywords))


def pick(
    scores: pd.DataFrame, method: str, score: str, level: str = "all", case: str = "all"
) -> pd.Series:
    """The one row of a score without bins."""
    chosen = scores.query(
        "method == @method and score == @score and level == @level and case == @case and bin == -1"
    )
    assert len(chosen) == 1
    return chosen.iloc[0]
