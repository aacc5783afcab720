"""Which rows of an ISD table are observations to use, and why the others are not.

The reason of a row is the first of these that holds:

- "report type": not among REPORT_TYPES, such as the daily and monthly summaries SOD and SOM;
- "missing temperature";
- "suspect" (codes 2, 6), "erroneous" (3, 7), "unknown quality" (a code of no meaning);
- "out of range": outside -93.2..61.8 degrees Celsius;
- "station not in history": a row without a position whose station the list lacks;
- "no position", "no elevation": missing, at 0/0, or impossible, both in the row and in the list;
- "duplicate": another row of the same station and time is better. The best has passed more
  checks (codes 1 5, then edited values, then 0 4, then 9); among equals FM-12 goes before FM-15
  before others, and an earlier row before a later one.

A row's own position wins over the list's, because stations move. ISD-Lite has neither report
types nor quality codes: NOAA has applied them.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

REPORT_TYPES = (
    *("FM-12", "FM-13", "FM-14", "FM-15", "FM-16", "FM-18"),
    *("SAO", "SY-MT", "SY-SA", "AUTO", "CRN05", "CRN15"),
)
QUALITY_ORDER = ("15", "ACIMPRU", "04", "9")
SUSPECT, ERRONEOUS = "26", "37"
CELSIUS = (-93.2, 61.8)
ELEVATION = (-450.0, 8900.0)  # m; the Dead Sea's shore, and above any station

Mask: TypeAlias = pd.Series | NDArray[np.bool_]


class Reasons:
    """The first reason noted against each row of a table; "" where there is none.

    rows: how many. `of` is the reason of each, `open` where there is none yet; both (rows,).
    """

    def __init__(self, rows: int) -> None:
        self.of: NDArray[Any] = np.full(rows, "", dtype=object)
        self.open = np.ones(rows, dtype=bool)

    def note(self, wrong: Mask, reason: str) -> None:
        """Note a reason against the wrong rows that have none yet."""
        first = np.asarray(wrong, dtype=bool) & self.open
        self.of[first] = reason
        self.open &= ~first

    def override(self, wrong: Mask, reason: str) -> None:
        """Note a reason against the wrong rows in place of any that they have."""
        self.of[np.asarray(wrong, dtype=bool)] = reason
        self.open &= ~np.asarray(wrong, dtype=bool)


def judge(table: pd.DataFrame, positions: pd.DataFrame | None) -> tuple[pd.DataFrame, Reasons]:
    """Judge a raw table of `isd_formats.parse`, or several of them one below the other.

    positions: station list indexed by station_id with latitude, longitude (degrees) and
    elevation (m), or None.
    Returns the table with positions filled from the list, longitude in 0..360 and
    air_temperature in K, and the reasons against its rows.
    """
    table = table.reset_index(drop=True)
    reasons = Reasons(len(table))
    quality, celsius = table["quality"], table["celsius"]
    coded = (quality != "").to_numpy()
    reasons.note(coded & ~table["report_type"].isin(REPORT_TYPES).to_numpy(), "report type")
    reasons.note(celsius.isna(), "missing temperature")
    reasons.note(quality.isin(list(SUSPECT)), "suspect")
    reasons.note(quality.isin(list(ERRONEOUS)), "erroneous")
    reasons.note(coded & ~quality.isin(list("".join(QUALITY_ORDER))), "unknown quality")
    reasons.note(~celsius.between(*CELSIUS), "out of range")
    table = _locate(table, positions, reasons)
    reasons.note(worse_duplicates(table, reasons.open), "duplicate")
    return table.assign(air_temperature=celsius + 273.15), reasons


def _locate(table: pd.DataFrame, positions: pd.DataFrame | None, reasons: Reasons) -> pd.DataFrame:
    """Fill missing positions and elevations from the list; note rows that still lack them."""
    stray = ~possible_position(table["latitude"], table["longitude"]).to_numpy()
    places = {
        "latitude": table["latitude"].mask(stray).to_numpy(),
        "longitude": table["longitude"].mask(stray).to_numpy(),
        "elevation": table["elevation"].where(possible_elevation(table["elevation"])).to_numpy(),
    }
    if positions is not None:
        # A table holds few stations: look each up once, not each row.
        station, names = pd.factorize(table["station_id"])
        reasons.note(stray & ~names.isin(positions.index)[station], "station not in history")
        listed = positions.reindex(names)
        for name, own in places.items():
            places[name] = np.where(np.isnan(own), listed[name].to_numpy()[station], own)
    places["longitude"] = places["longitude"] % 360.0
    reasons.note(np.isnan(places["latitude"]), "no position")
    reasons.note(np.isnan(places["elevation"]), "no elevation")
    return table.assign(**places)


def possible_position(latitude: pd.Series, longitude: pd.Series) -> pd.Series:
    """Where a position (degrees) is given and can be true; 0/0 stands for missing."""
    inside = (latitude.abs() <= 90.0) & (longitude.abs() <= 360.0)
    return inside & ~((latitude == 0.0) & (longitude == 0.0))


def possible_elevation(elevation: pd.Series) -> pd.Series:
    """Where an elevation (m) is given and can be true."""
    return elevation.between(*ELEVATION)


def worse_duplicates(table: pd.DataFrame, candidates: Mask) -> NDArray[np.bool_]:
    """Candidates of which a better one of the same station and time exists; shape (rows,)."""
    repeated = table.loc[candidates].duplicated(["station_id", "time"], keep=False)
    rivals = table.loc[repeated.index[repeated]]
    checks = {code: rank for rank, codes in enumerate(QUALITY_ORDER) for code in codes}
    types = {"FM-12": 0, "FM-15": 1}
    order = np.lexsort(
        [
            rivals["report_type"].map(types).fillna(len(types)).to_numpy(),
            rivals["quality"].map(checks).fillna(len(QUALITY_ORDER)).to_numpy(),
        ]
    )
    ordered = rivals.iloc[order]
    worse = np.zeros(len(table), dtype=bool)
    worse[ordered.index[ordered.duplicated(["station_id", "time"])]] = True
    return worse


def assign_hours(
    table: pd.DataFrame, reasons: Reasons, hours: Sequence[int], tolerance: float
) -> pd.DataFrame:
    """The table with `time` set to the nearest of some UTC hours.

    Rows further away than `tolerance` minutes are noted as "other hour"; of several rows of a
    station for one hour all but the nearest as "not the nearest".
    """
    since_midnight = table["time"] - table["time"].dt.floor("D")
    minute = since_midnight.to_numpy() / np.timedelta64(1, "m")
    wanted = 60.0 * np.asarray(sorted(hours))
    # Minutes to each wanted hour, around midnight: -720 .. 720.
    away = (wanted[None] - minute[:, None] + 720.0) % 1440.0 - 720.0
    shift = away[np.arange(len(table)), np.abs(away).argmin(axis=1)]
    reasons.note(np.abs(shift) > tolerance, "other hour")
    seconds = np.round(60.0 * shift).astype("timedelta64[s]")
    table = table.assign(time=table["time"].to_numpy() + seconds.astype("timedelta64[ns]"))
    candidates = table.loc[reasons.open, ["station_id", "time"]]
    ordered = candidates.iloc[np.argsort(np.abs(shift[reasons.open]), kind="stable")]
    further = np.zeros(len(table), dtype=bool)
    further[ordered.index[ordered.duplicated()]] = True
    reasons.note(further, "not the nearest")
    return table
