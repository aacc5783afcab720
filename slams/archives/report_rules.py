"""Which station reports are observations to use, and why the others are not.

The reason of a row is the first of these that holds:

- "report type": no observation of the moment, such as the daily and monthly summaries SOD, SOM;
- "missing temperature";
- "suspect", "erroneous", "unknown quality": by the provider's quality code;
- "out of range": outside -93.2..61.8 degrees Celsius;
- "station not in history": a row without a position whose station the list lacks;
- "no position", "no elevation": missing, at 0/0, or impossible, both in the row and in the list;
- "duplicate": another row of the same station and time is better. The best has passed more
  checks (all, then values edited by hand, then gross limits only, then ISD's code 9, then no
  code at all); among equals FM-12 goes before FM-15 before others, and an earlier row before a
  later one.

A row's own position wins over the list's, because stations move. ISD-Lite has neither report
types nor quality codes: NOAA has applied them.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from slams.archives.reports import (
    ERRONEOUS,
    PREFERENCES,
    REASONS,
    SUSPECT,
    UNKNOWN,
    UNWANTED,
    Reports,
)

CELSIUS = (-93.2, 61.8)
ELEVATION = (-450.0, 8900.0)  # m; the Dead Sea's shore, and above any station
DAY = 86400  # seconds

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]


class Places:
    """Where the stations of a list are, looked up by id."""

    def __init__(self, stations: pd.DataFrame) -> None:
        """stations: station_id, latitude, longitude (degrees), elevation (m)."""
        self._ids = pa.array(stations["station_id"], pa.large_string())
        self._places = [
            stations[name].to_numpy(np.float64) for name in ("latitude", "longitude", "elevation")
        ]

    def of(self, names: Sequence[str]) -> tuple[Values, Mask]:
        """Latitude, longitude, elevation (3, name), and which names the list has."""
        # A file has few stations, and mostly one: no table of all is worth making for it.
        rows = np.array([compute.index(self._ids, name).as_py() for name in names], dtype=np.int64)
        found = np.array([values[rows] for values in self._places]).reshape(3, len(names))
        found[:, rows < 0] = np.nan
        return found, rows >= 0


def judge(table: Reports, places: Places | None) -> None:
    """Note the reasons against the rows of a file; fill positions, longitude in 0..360."""
    celsius = table.celsius
    table.note(table.kind == UNWANTED, "report type")
    table.note(np.isnan(celsius), "missing temperature")
    for meaning, reason in (
        (SUSPECT, "suspect"),
        (ERRONEOUS, "erroneous"),
        (UNKNOWN, "unknown quality"),
    ):
        table.note(table.trust == meaning, reason)
    table.note((celsius < CELSIUS[0]) | (celsius > CELSIUS[1]), "out of range")
    _locate(table, places)
    _note_beaten(table, table.preference, "duplicate")


def _locate(table: Reports, places: Places | None) -> None:
    """Fill missing positions and elevations from the list; note rows that still lack them."""
    stray = ~possible_position(table.latitude, table.longitude)
    high = possible_elevation(table.elevation)
    if places is None:
        listed, known = np.full((3, len(table.station.names)), np.nan), None
    else:
        listed, known = places.of(table.station.names)
    station = table.station.codes
    if known is not None and not known.all():
        table.note(stray & ~known[station], "station not in history")
    if stray.any():
        table.latitude = np.where(stray, listed[0][station], table.latitude)
        table.longitude = np.where(stray, listed[1][station], table.longitude)
        table.note(np.isnan(table.latitude) | np.isnan(table.longitude), "no position")
    if not high.all():
        table.elevation = np.where(high, table.elevation, listed[2][station])
        table.note(np.isnan(table.elevation), "no elevation")
    table.longitude = table.longitude % 360.0


def possible_position(latitude: Values, longitude: Values) -> Mask:
    """Where a position (degrees) is given and can be true; 0/0 stands for missing."""
    inside = (np.abs(latitude) <= 90.0) & (np.abs(longitude) <= 360.0)
    return inside & ~((latitude == 0.0) & (longitude == 0.0))


def possible_elevation(elevation: Values) -> Mask:
    """Where an elevation (m) is given and can be true."""
    return (elevation >= ELEVATION[0]) & (elevation <= ELEVATION[1])


def beaten(
    key: NDArray[np.int64], candidates: Mask, preference: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Candidates that lose against another with the same key, and those that they lose against.

    The one with the least preference wins, of equal ones the earlier. key, candidates and
    preference: (row,). Returns two arrays of row numbers.
    """
    none = np.zeros(0, dtype=np.int64)
    if (key[1:] > key[:-1]).all():  # as a file of one report an hour is
        return none, none
    rows = np.flatnonzero(candidates)
    rows = rows[np.argsort(key[rows], kind="stable")]
    same = key[rows][1:] == key[rows][:-1]
    if not same.any():
        return none, none
    rivals = rows[np.concatenate([same, [False]]) | np.concatenate([[False], same])]
    ordered = rivals[np.lexsort([rivals, preference[rivals], key[rivals]])]
    lost = np.concatenate([[False], key[ordered][1:] == key[ordered][:-1]])
    winner = np.maximum.accumulate(np.where(lost, 0, np.arange(len(ordered))))
    return ordered[lost], ordered[winner[lost]]


def _note_beaten(table: Reports, preference: NDArray[np.integer], reason: str) -> None:
    key = table.station.codes.astype(np.int64) * 2**40 + table.seconds
    lost, _ = beaten(key, table.open, preference)
    table.reason[lost] = REASONS.index(reason)


def nearness(table: Reports) -> NDArray[np.int64]:
    """Less is better: nearer to the hour, then what `judge` prefers."""
    return np.abs(table.shift).astype(np.int64) * PREFERENCES + table.preference


def assign_hours(table: Reports, hours: Sequence[int], tolerance: float) -> None:
    """Set the time of each row to the nearest of some UTC hours, and `shift` to the way there.

    Rows further away than `tolerance` minutes are noted as "other hour"; of several rows of a
    station for one hour all but the nearest as "not the nearest" (of two as near, the one that
    would win as a duplicate is taken).
    """
    table.shift = _shifts(tuple(sorted(hours)))[table.seconds % DAY]
    table.note(np.abs(table.shift) > 60.0 * tolerance, "other hour")
    table.seconds = table.seconds + table.shift
    _note_beaten(table, nearness(table), "not the nearest")


@lru_cache
def _shifts(hours: tuple[int, ...]) -> NDArray[np.int32]:
    """Seconds from each second of a day to the nearest of some hours, around midnight."""
    second = np.arange(DAY)
    away = (3600 * np.array(hours) - second[:, None] + DAY // 2) % DAY - DAY // 2
    nearest: NDArray[np.int32] = away[second, np.abs(away).argmin(axis=1)].astype(np.int32)
    return nearest
