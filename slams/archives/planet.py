"""A synthetic planet that writes the raw archives: ERA5, ISD and GridSat-B1, defects included.

Everything after the download can be tried on it without a key, and its truth is known:
`Planet` gives the temperature at any place, level and time of what `write` has written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slams.archives import planet_imagery, planet_stations
from slams.archives.planet_files import BATCH, EPOCH, SOURCE, dataset, variable
from slams.archives.planet_weather import Planet
from slams.channels import GRIDSAT, WINDOW
from slams.errors import SlamsError
from slams.provenance import atomic

__all__ = ["Planet", "write"]

EXPVER_FINAL = "0001"
FIELD_STEP = 1 / 512  # K, to which fields are rounded, as packing in GRIB does


def write(
    folder: Path | str,
    *,
    start: Any,
    end: Any,
    spacing: float = 5.625,
    levels: Sequence[float],
    hours: Sequence[int] = (0,),
    stations: int = 150,
    imagery_spacing: float = 2.0,
    channels: Sequence[str] = (WINDOW.name,),
    seed: int = 0,
) -> None:
    """Write `era5/`, `isd/` and `gridsat/` under `folder` for the dates `start` to `end`.

    `spacing` and `imagery_spacing` are in degrees, `levels` in hPa, `hours` UTC, `stations` the
    number of sound ones; a few odd ones come with them; `channels` are what the images hold,
    irwin_cdr or irwvp or both. Equal arguments give equal values; a later `end` keeps those of
    earlier dates (to 0.01 K, by rounding). Files are replaced whole.

    Raises SlamsError naming the argument that cannot be used.
    """
    _check(spacing, imagery_spacing, levels, hours, stations, channels)
    planet, folder = Planet(start, end, seed), Path(folder)
    dates = pd.date_range(planet.start, planet.end, freq="D")
    offsets = pd.to_timedelta(sorted(hours), unit="h")
    times = pd.DatetimeIndex(np.add.outer(dates.to_numpy(), offsets.to_numpy()).ravel())
    _write_land(folder / "era5" / "land_sea_mask.nc", planet, spacing)
    for month in times.strftime("%Y-%m").unique():
        path = folder / "era5" / month[:4] / f"era5_t_{month}.nc"
        _write_month(path, planet, times[times.strftime("%Y-%m") == month], spacing, levels)
    planet_stations.write(folder / "isd", planet, times, stations, _save)
    planet_imagery.write(folder / "gridsat", planet, times, imagery_spacing, channels)


def _check(
    spacing: float,
    imagery_spacing: float,
    levels: Sequence[float],
    hours: Sequence[int],
    stations: int,
    channels: Sequence[str],
) -> None:
    for name, value in (("spacing", spacing), ("imagery_spacing", imagery_spacing)):
        rows = 180 / value if value > 0 else 0.0
        if rows < 2 or abs(rows - round(rows)) > 1e-6:
            raise SlamsError(f"{name} is {value!r}; give degrees that divide 180, such as 5.625.")
    if not len(levels) or len(set(levels)) < len(levels):
        raise SlamsError(f"levels are {list(levels)}; give at least one, each once.")
    if not all(10 <= level <= 1000 for level in levels):
        raise SlamsError(f"levels are {list(levels)}; give pressures of 10 to 1000 hPa.")
    if not len(hours) or len(set(hours)) < len(hours) or not set(hours) <= set(range(0, 24, 3)):
        raise SlamsError(f"hours are {list(hours)}; give some of 0, 3, ..., 21, each once.")
    if stations < 1:
        raise SlamsError(f"stations is {stations!r}; give at least 1.")
    if not channels or not set(channels) <= set(GRIDSAT):
        raise SlamsError(f"channels are {list(channels)}; give some of {', '.join(GRIDSAT)}.")


def _save(path: Path, content: bytes) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def _points(spacing: float) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Latitudes 90 to -90 and longitudes from 0, degrees."""
    rows = round(180 / spacing)
    return 90 - spacing * np.arange(rows + 1), spacing * np.arange(2 * rows)


def _horizontal(
    file: netCDF4.Dataset, latitude: NDArray[np.floating], longitude: NDArray[np.floating]
) -> None:
    north = {"units": "degrees_north", "standard_name": "latitude", "long_name": "latitude"}
    north["stored_direction"] = "decreasing"
    east = {"units": "degrees_east", "standard_name": "longitude", "long_name": "longitude"}
    for name, values, attributes in (("latitude", latitude, north), ("longitude", longitude, east)):
        file.createDimension(name, len(values))
        variable(file, name, "f8", (name,), values=values, attributes=attributes, fill_value=np.nan)


CDS_ATTRIBUTES = {
    "GRIB_centre": "ecmf",
    "GRIB_centreDescription": "European Centre for Medium-Range Weather Forecasts",
    "GRIB_subCentre": "0",
    "Conventions": "CF-1.7",
    "institution": SOURCE,
    "history": SOURCE,
}
MEMBER = {
    "long_name": "ensemble member numerical id",
    "units": "1",
    "standard_name": "realization",
}
CLOCK = {
    "long_name": "time",
    "standard_name": "time",
    "units": "seconds since 1970-01-01",
    "calendar": "proleptic_gregorian",
}
LEVEL = {
    "long_name": "pressure",
    "units": "hPa",
    "positive": "down",
    "stored_direction": "decreasing",
    "standard_name": "air_pressure",
}
TEMPERATURE = {
    "GRIB_paramId": np.int64(130),
    "GRIB_cfVarName": "t",
    "GRIB_typeOfLevel": "isobaricInhPa",
    "long_name": "Temperature",
    "units": "K",
    "standard_name": "air_temperature",
    "coordinates": "number valid_time pressure_level latitude longitude expver",
}


def _write_land(path: Path, planet: Planet, spacing: float) -> None:
    latitude, longitude = _points(spacing)
    attributes = {
        "units": "(0 - 1)",
        "standard_name": "land_binary_mask",
        "long_name": "Land-sea mask",
    }
    with dataset(path, **CDS_ATTRIBUTES) as file:
        _horizontal(file, latitude, longitude)
        land = planet.land(latitude[:, None], longitude)
        dimensions = ("latitude", "longitude")
        variable(
            file,
            "lsm",
            "f4",
            dimensions,
            values=land,
            attributes=attributes,
            zlib=True,
            fill_value=np.nan,
        )


def _write_month(
    path: Path, planet: Planet, times: pd.DatetimeIndex, spacing: float, levels: Sequence[float]
) -> None:
    """Air temperature of `times` in the layout of the present Climate Data Store."""
    latitude, longitude = _points(spacing)
    pressure = np.sort(np.asarray(levels, float))[::-1]
    batches = [times[i : i + BATCH].to_numpy() for i in range(0, len(times), BATCH)]
    fields = [
        planet.temperature(b, pressure.tolist(), latitude[:, None], longitude) for b in batches
    ]
    values = np.round(np.concatenate(fields) / FIELD_STEP) * FIELD_STEP
    with dataset(path, **CDS_ATTRIBUTES) as file:
        file.createDimension("valid_time", len(times))
        file.createDimension("pressure_level", len(pressure))
        variable(file, "number", "i8", (), values=0, attributes=MEMBER)
        seconds = (times - EPOCH) // pd.Timedelta("1s")
        variable(file, "valid_time", "i8", ("valid_time",), values=seconds, attributes=CLOCK)
        level = ("pressure_level",)
        variable(file, *level, "f8", level, values=pressure, attributes=LEVEL, fill_value=np.nan)
        _horizontal(file, latitude, longitude)
        version = file.createVariable("expver", str, ("valid_time",))
        version[:] = np.full(len(times), EXPVER_FINAL, dtype=object)
        dimensions = ("valid_time", "pressure_level", "latitude", "longitude")
        packing = {"zlib": True, "complevel": 1, "shuffle": True, "fill_value": np.nan}
        variable(file, "t", "f4", dimensions, values=values, attributes=TEMPERATURE, **packing)
