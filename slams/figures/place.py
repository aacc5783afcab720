"""What an analysis says of one place over time: at a level, and at a station held out there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from slams.errors import SlamsError
from slams.statistics import Normalisation
from slams.surface import Regression, Table, apart_km, reports

ELSEWHERE: Final = (45.0, 0.0)  # degrees, where no place is asked for and there is no station

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """Temperatures (K) of one place in some cases: the figure's rows.

    ``members`` (case, member, step); ``truth`` (case, step) is what is known, with its standard
    error ``error`` or None; ``oi`` (case, step) the optimal interpolation, or None; ``times``
    (case, step).
    """

    title: str
    known_as: str
    times: NDArray[np.datetime64]
    members: Array
    truth: Array
    error: float | None
    oi: Array | None


@dataclass(frozen=True)
class Stations:
    """What is needed to look at a station: the fit, the reports, and the statistics.

    ``table`` may be a function that gives the reports of some times.
    """

    fitted: xr.Dataset
    table: Table
    statistics: xr.Dataset


def at_level(
    analysis: xr.Dataset,
    classical: xr.Dataset,
    place: tuple[float, float],
    cases: Sequence[int],
    level: float,
) -> Line:
    """The cell at `place` (latitude, longitude in degrees) and `level` (hPa), in some `cases`."""
    row = int(abs(analysis["latitude"].values - place[0]).argmin())
    turn = (analysis["longitude"].values - place[1] + 180) % 360 - 180
    column = int(abs(turn).argmin())
    here, beside = (
        data.isel(case=list(cases), latitude=row, longitude=column).sel(level=level)
        for data in (analysis, classical)
    )
    north, east = (float(here[name]) for name in ("latitude", "longitude"))
    oi = _values(beside["oi"], "case", "step") if "oi" in beside else None
    return Line(
        title=f"{level:g} hPa, cell at {place_name(north, east)}",
        known_as="truth",
        times=here["time"].values,
        members=_values(here["analysis"], "case", "member", "step"),
        truth=_values(here["truth"], "case", "step"),
        error=None,
        oi=oi,
    )


def at_station(
    analysis: xr.Dataset,
    classical: xr.Dataset,
    stations: Stations,
    station: str,
    cases: Sequence[int],
) -> Line:
    """What the members say of the thermometer of a `station` at 2 m, and what it reported."""
    fitted = stations.fitted.sel(station=[station])
    normalisation = Normalisation(stations.statistics)
    times = analysis["time"].values[list(cases)]
    field = ("member", "step", "level", "latitude", "longitude")
    members, seen = [], []
    for case, instants in zip(cases, times, strict=True):
        states = analysis["analysis"].isel(case=case).transpose(*field).values
        said = Regression.of(fitted, normalisation, instants).temperature(states)
        members.append(said[..., 0])
        seen.append(reports(stations.table, fitted, instants)[0][:, 0])
    oi = None
    if "oi_stations" in classical and station in classical["station"].values:
        there = classical["oi_stations"].isel(case=list(cases)).sel(station=station)
        oi = _values(there, "case", "step")
    where = place_name(float(fitted["latitude"][0]), float(fitted["longitude"][0]))
    return Line(
        title=f"2 m, station {station}, never assimilated\n{where}",
        known_as="reported",
        times=times,
        members=np.stack(members),
        truth=np.stack(seen).astype(np.float64),
        error=float(np.sqrt(fitted["error_variance"][0])),
        oi=oi,
    )


def choose_station(
    stations: Stations, times: NDArray[np.datetime64], place: tuple[float, float] | None
) -> str | None:
    """The held-out station nearest to `place`, or, without one, that reports at most `times`.

    None where no held-out station reports at any of them.
    """
    held = stations.fitted.isel(station=np.flatnonzero(stations.fitted["held_out"].values))
    seen = np.isfinite(reports(stations.table, held, times.ravel())[0]).sum(0)
    if not seen.size or not seen.any():
        return None
    if place is None:
        return str(held["station"].values[int(seen.argmax())])
    latitude, longitude = (pd.Series(held[name].values) for name in ("latitude", "longitude"))
    apart = apart_km(latitude, longitude, *place).where(seen > 0)
    return str(held["station"].values[int(apart.argmin())])


def lines(
    analysis: xr.Dataset,
    classical: xr.Dataset,
    cases: Sequence[int],
    *,
    level: float | None = None,
    place: tuple[float, float] | None = None,
    stations: Stations | None = None,
) -> list[Line]:
    """The lines of a time series: at a level (the lowest by default), and at a station held out.

    `place` is (latitude, longitude) in degrees; without one it is the station's. Raises SlamsError
    where the place is none on the globe.
    """
    if place is not None and not (-90 <= place[0] <= 90 and -360 <= place[1] <= 360):
        raise SlamsError(
            f"report.place: {place[0]:g}, {place[1]:g} is no latitude and longitude in degrees"
        )
    height = float(analysis["level"].max()) if level is None else level
    station = None
    if stations is not None:
        station = choose_station(stations, analysis["time"].values[list(cases)], place)
    if place is None and stations is not None and station is not None:
        fitted = stations.fitted.sel(station=station)
        place = float(fitted["latitude"]), float(fitted["longitude"])
    found = [at_level(analysis, classical, place or ELSEWHERE, cases, height)]
    if stations is not None and station is not None:
        found.append(at_station(analysis, classical, stations, station, cases))
    return found


def place_name(latitude: float, longitude: float) -> str:
    """A place as one says it: 45.0° N, 12.5° W."""
    east = (longitude + 180) % 360 - 180
    side = "E" if east >= 0 else "W"
    return f"{abs(latitude):.1f}° {'N' if latitude >= 0 else 'S'}, {abs(east):.1f}° {side}"


def _values(field: xr.DataArray, *dims: str) -> Any:
    return field.transpose(*dims).values.astype(np.float64)
