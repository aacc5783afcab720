"""Weather stations of the synthetic planet, written as NOAA's Integrated Surface Database.

Most stations report in ISD-Lite, every fifth in the global-hourly CSV, every tenth in the
American manner at minute 53. A few stations of no use to anyone come with them, as in the
archive: without position, at 0 N 0 E, bogus, silent, with a single report, or a second id at a
place that has one.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slams.archives.planet_weather import Planet

STATION_BIAS_SD = 0.5  # K, one draw a station
STATION_ERROR_SD = 1.0  # K, one draw a report
MISSING_RATE = 0.03
GROSS_ERROR = 25.0  # K, either sign
GROSS_RATE = 0.003  # ISD-Lite, which has no flags
FLAGGED_RATE = 0.01  # global-hourly: gross errors that quality control has flagged
DUPLICATE_RATE = 0.05  # global-hourly: a second report of another type at the same time
BAD_FLAGS = "2367"
SEA_ACCEPTANCE = 0.05  # stations on islands, relative to land
HOURS_OF_YEAR = 8784
ZERO_CELSIUS = 273.15
MISSING = -9999  # tenths of a degree Celsius, in arrays and in ISD-Lite

# fmt: off
HISTORY_COLUMNS = [
    "USAF", "WBAN", "STATION NAME", "CTRY", "STATE", "ICAO", "LAT", "LON", "ELEV(M)",
    "BEGIN", "END",
]
HOURLY_COLUMNS = [
    "STATION", "DATE", "SOURCE", "LATITUDE", "LONGITUDE", "ELEVATION", "NAME", "REPORT_TYPE",
    "CALL_SIGN", "QUALITY_CONTROL", "WND", "CIG", "VIS", "TMP", "DEW", "SLP", "REM",
]
# fmt: on

Kind = Literal["lite", "hourly", "american", "silent", "single", "bogus"]
Writer = Callable[[Path, bytes], None]
Tenths = NDArray[np.int64]


@dataclass(frozen=True)
class Station:
    """A row of isd-history.csv. `number` seeds its errors; no `latitude` means no position."""

    number: int
    usaf: str
    wban: str
    name: str
    kind: Kind
    latitude: float | None
    longitude: float | None
    elevation: float | None  # m


def network(planet: Planet, count: int) -> list[Station]:
    """`count` sound stations, mostly on land, and six odd ones.

    Positions to 0.001 degrees and elevations to 0.1 m, exactly as the files state them. A larger
    `count` keeps the first stations.
    """
    places = _places(planet, count)
    sound = [_sound_station(planet, number, *place) for number, place in enumerate(places)]
    return sound + _odd_stations(sound[0])


def _sound_station(planet: Planet, number: int, latitude: float, longitude: float) -> Station:
    kind: Kind = "american" if number % 10 == 9 else "hourly" if number % 5 == 4 else "lite"
    usaf, wban = f"{100000 + number}", "99999"
    if kind == "american":
        usaf, wban = f"{720000 + number}", f"{10000 + number}"
    if number == 1:  # an id that is no number
        usaf = "A00001"
    elevation = round(float(planet.elevation(latitude, longitude)), 1)
    name = f"PLANET {number}"
    return Station(number, usaf, wban, name, kind, latitude, longitude, elevation)


def _odd_stations(twin: Station) -> list[Station]:
    place = (twin.latitude, twin.longitude, twin.elevation)
    nowhere = (None, None, None)
    return [
        Station(900001, "007005", "99999", "CWOS 07005", "lite", *nowhere),
        Station(900002, "007018", "99999", "WXPOD 7018", "hourly", 0.0, 0.0, 7018.0),
        Station(900003, "010000", "99999", "BOGUS PLANET", "bogus", *nowhere),
        Station(900004, "990001", "99999", f"{twin.name} OLD ID", "lite", *place),
        Station(900005, "990002", "99999", "SILENT", "silent", 45.5, 7.25, 410.0),
        Station(900006, "990003", "99999", "ONE REPORT", "single", -33.25, 150.5, 18.0),
    ]


def _places(planet: Planet, count: int) -> list[tuple[float, float]]:
    """Distinct positions, drawn one after the other, degrees."""
    rng = np.random.default_rng([planet.seed, 3])
    places: list[tuple[float, float]] = []
    while len(places) < count:
        height, turn, chance = rng.random((512, 3)).T
        latitude = np.rad2deg(np.arcsin(2 * height - 1)).round(3)
        longitude = (360 * turn - 180).round(3)
        keep = chance < np.maximum(planet.land(latitude, longitude), SEA_ACCEPTANCE)
        places += zip(latitude[keep].tolist(), longitude[keep].tolist(), strict=True)
    return places[:count]


def write(folder: Path, planet: Planet, times: pd.DatetimeIndex, count: int, save: Writer) -> None:
    """isd-history.csv, isd-lite/ and global-hourly/ under `folder`, by `save(path, content)`.

    `times` are the nominal times of the reports, UTC, sorted; American stations report seven
    minutes earlier, and not before the first time.
    """
    stations = network(planet, count)
    save(folder / "isd-history.csv", _history(stations, times))
    early = times - pd.Timedelta(minutes=7)
    for clock, kinds in (
        (times, ("lite", "hourly", "silent", "single")),
        (early[early >= times[0]], ("american",)),
    ):
        chosen = [station for station in stations if station.kind in kinds]
        if not chosen or not len(clock):
            continue
        truth = planet.surface_temperature(
            clock.to_numpy(),
            [station.latitude or 0.0 for station in chosen],
            [station.longitude or 0.0 for station in chosen],
        )
        for year in clock.year.unique():
            inside = np.asarray(clock.year == year)
            for station, values in zip(chosen, truth.T, strict=True):
                path, content = _station_year(
                    station, clock[inside], values[inside].astype(float), planet.seed
                )
                save(folder / path, content)


def _history(stations: list[Station], times: pd.DatetimeIndex) -> bytes:
    period = [times[0].strftime("%Y%m%d"), times[-1].strftime("%Y%m%d")]
    rows = [HISTORY_COLUMNS]
    for s in sorted(stations, key=lambda station: (station.usaf, station.wban)):
        place = [
            "" if value is None else f"{value:{form}}"
            for value, form in (
                (s.latitude, "+07.3f"),
                (s.longitude, "+08.3f"),
                (s.elevation, "+07.1f"),
            )
        ]
        rows.append([s.usaf, s.wban, s.name, "", "", "", *place, *period])
    return _table(rows)


def _station_year(
    station: Station, clock: pd.DatetimeIndex, truth: NDArray[np.float64], seed: int
) -> tuple[Path, bytes]:
    """Path below `isd` and content of one file; `truth` K at the times of `clock`."""
    year = clock[0].year
    errors = _Errors(station, year, clock, seed)
    if station.kind in ("hourly", "american"):
        rows = _hourly_rows(station, clock, truth, errors)
        path = Path("global-hourly") / str(year) / f"{station.usaf}{station.wban}.csv"
        return path, _table([HOURLY_COLUMNS, *rows])
    tenths = errors.report(truth, errors.gross)
    if station.kind == "silent":
        tenths[:] = MISSING
    if station.kind == "single":
        clock, tenths = clock[:1], np.rint(10 * (truth[:1] - ZERO_CELSIUS)).astype(np.int64)
    lines = [
        f"{time:%Y %m %d %H}{value:6d}" + f"{MISSING:6d}" * 7 + "\n"
        for time, value in zip(clock, tenths.tolist(), strict=True)
    ]
    path = Path("isd-lite") / str(year) / f"{station.usaf}-{station.wban}-{year}.gz"
    return path, gzip.compress("".join(lines).encode(), compresslevel=6, mtime=0)


class _Errors:
    """What goes wrong in a station's year, drawn for all its hours whatever the period."""

    def __init__(self, station: Station, year: int, clock: pd.DatetimeIndex, seed: int) -> None:
        hour = (clock.day_of_year.to_numpy() - 1) * 24 + clock.hour.to_numpy()
        lasting = np.random.default_rng([seed, 4, station.number])
        passing = np.random.default_rng([seed, 5, station.number, year])
        error = passing.normal(0, STATION_ERROR_SD, HOURS_OF_YEAR)[hour]
        chance = passing.random((5, HOURS_OF_YEAR))[:, hour]
        self._error = lasting.normal(0, STATION_BIAS_SD) + error
        self._sign = np.where(chance[0] < 0.5, -1, 1)
        self._missing = chance[1] < MISSING_RATE
        self.gross = chance[2] < GROSS_RATE
        self.flagged = (chance[2] < FLAGGED_RATE) & ~self._missing
        self.flag = [BAD_FLAGS[int(4 * x)] for x in chance[3]]
        self.duplicate = chance[4] < DUPLICATE_RATE

    def report(self, truth: NDArray[np.float64], wrong: NDArray[np.bool_]) -> Tenths:
        """Tenths of degrees Celsius, `MISSING` where missing, 25 K off where `wrong`."""
        value = truth - ZERO_CELSIUS + self._error + wrong * self._sign * GROSS_ERROR
        return np.where(self._missing, MISSING, np.rint(10 * value)).astype(np.int64)


def _hourly_rows(
    station: Station, clock: pd.DatetimeIndex, truth: NDArray[np.float64], errors: _Errors
) -> Iterator[list[str]]:
    """Rows of a global-hourly file in order of time."""
    american = station.kind == "american"
    main, second = ("FM-15", "FM-16") if american else ("FM-12", "FM-15")
    tenths = errors.report(truth, errors.flagged)
    for i, time in enumerate(clock):
        value, flag = int(tenths[i]), errors.flag[i] if errors.flagged[i] else "1"
        yield _row(station, time, main, "+9999,9" if value == MISSING else f"{value:+05d},{flag}")
        if errors.duplicate[i] and value != MISSING and not errors.flagged[i]:
            yield _row(station, time, second, f"{round(value / 10) * 10:+05d},5")
        if american and (i + 1 == len(clock) or clock[i + 1].date() != time.date()):
            yield _row(station, time.normalize() + pd.Timedelta("23:59:00"), "SOD", "+9999,9")


def _row(station: Station, time: pd.Timestamp, report: str, temperature: str) -> list[str]:
    here = [f"{value}" for value in (station.latitude, station.longitude, station.elevation)]
    start = [station.usaf + station.wban, f"{time:%Y-%m-%dT%H:%M:%S}", "4", *here, station.name]
    blank = ["99999", "V020", "999,9,9,9999,9", "99999,9,9,9", "999999,9,9,9"]
    return [*start, report, *blank, temperature, "+9999,9", "99999,9", ""]


def _table(rows: list[list[str]]) -> bytes:
    """Comma-separated values, every one quoted."""
    return "".join(",".join(f'"{value}"' for value in row) + "\n" for row in rows).encode()
