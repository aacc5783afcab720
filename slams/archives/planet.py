"""A synthetic planet that writes the raw archives: ERA5, ISD and GridSat-B1, defects included.

Everything after the download can be tried on it without a key, and its truth is known:
`Planet` gives the temperature at any place, level and time of what `write` has written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slams.archives import planet_stations
from slams.archives.planet_weather import Planet
from slams.errors import SlamsError
from slams.provenance import atomic

__all__ = ["Planet", "write"]

EPOCH = pd.Timestamp("1970-01-01")
EXPVER_FINAL = "0001"
FIELD_STEP = 1 / 512  # K, to which fields are rounded, as packing in GRIB does
IMAGERY_EDGE = 70.0  # degrees, nothing is seen poleward of it
IMAGERY_NOISE_SD = 0.5  # K
FILE_LOSS_RATE = 0.01  # imagery files that do not exist
SECTOR_LOSS_RATE = 0.15  # imagery files that lack a wedge of longitudes
SECTOR_WIDTH = (30.0, 70.0)  # degrees
PIXEL_LOSS_RATE = 0.005
FILL = -31999
SOURCE = "Synthetic planet of SLAMS: not observed, no reanalysis"
BATCH = 16  # times computed at once


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
    seed: int = 0,
) -> None:
    """Write `era5/`, `isd/` and `gridsat/` under `folder` for the dates `start` to `end`.

    `spacing` and `imagery_spacing` are in degrees, `levels` in hPa, `hours` UTC, `stations` the
    number of sound ones; a few odd ones come with them. Equal arguments give equal values; a
    later `end` keeps those of earlier dates (to 0.01 K, by rounding). Files are replaced whole.

    Raises SlamsError naming the argument that cannot be used.
    """
    _check(spacing, imagery_spacing, levels, hours, stations)
    planet, folder = Planet(start, end, seed), Path(folder)
    dates = pd.date_range(planet.start, planet.end, freq="D")
    offsets = pd.to_timedelta(sorted(hours), unit="h")
    times = pd.DatetimeIndex(np.add.outer(dates.to_numpy(), offsets.to_numpy()).ravel())
    _write_land(folder / "era5" / "land_sea_mask.nc", planet, spacing)
    for month in times.strftime("%Y-%m").unique():
        path = folder / "era5" / month[:4] / f"era5_t_{month}.nc"
        _write_month(path, planet, times[times.strftime("%Y-%m") == month], spacing, levels)
    planet_stations.write(folder / "isd", planet, times, stations, _save)
    _write_imagery(folder / "gridsat", planet, times, imagery_spacing)


def _check(
    spacing: float,
    imagery_spacing: float,
    levels: Sequence[float],
    hours: Sequence[int],
    stations: int,
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


def _save(path: Path, content: bytes) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def _dataset(path: Path, **attributes: str) -> Iterator[netCDF4.Dataset]:
    """A new netCDF4 file at `path` with global attributes."""
    with atomic(path) as partial, netCDF4.Dataset(partial, "w", format="NETCDF4") as file:
        file.setncatts(attributes)
        yield file


def _variable(
    file: netCDF4.Dataset,
    name: str,
    kind: Any,
    dimensions: tuple[str, ...],
    *,
    values: Any,
    attributes: dict[str, Any],
    **storage: Any,
) -> None:
    """Add a variable; values are stored as they are, packed or not."""
    variable = file.createVariable(name, kind, dimensions, **storage)
    variable.set_auto_maskandscale(False)
    variable.setncatts(attributes)
    variable[...] = values


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
        _variable(
            file, name, "f8", (name,), values=values, attributes=attributes, fill_value=np.nan
        )


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
    with _dataset(path, **CDS_ATTRIBUTES) as file:
        _horizontal(file, latitude, longitude)
        land = planet.land(latitude[:, None], longitude)
        dimensions = ("latitude", "longitude")
        _variable(
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
    with _dataset(path, **CDS_ATTRIBUTES) as file:
        file.createDimension("valid_time", len(times))
        file.createDimension("pressure_level", len(pressure))
        _variable(file, "number", "i8", (), values=0, attributes=MEMBER)
        seconds = (times - EPOCH) // pd.Timedelta("1s")
        _variable(file, "valid_time", "i8", ("valid_time",), values=seconds, attributes=CLOCK)
        level = ("pressure_level",)
        _variable(file, *level, "f8", level, values=pressure, attributes=LEVEL, fill_value=np.nan)
        _horizontal(file, latitude, longitude)
        version = file.createVariable("expver", str, ("valid_time",))
        version[:] = np.full(len(times), EXPVER_FINAL, dtype=object)
        dimensions = ("valid_time", "pressure_level", "latitude", "longitude")
        packing = {"zlib": True, "complevel": 1, "shuffle": True, "fill_value": np.nan}
        _variable(file, "t", "f4", dimensions, values=values, attributes=TEMPERATURE, **packing)


def _write_imagery(folder: Path, planet: Planet, times: pd.DatetimeIndex, spacing: float) -> None:
    """One GridSat-B1 file for each time, but for those that are lost."""
    latitude = np.arange(-IMAGERY_EDGE, IMAGERY_EDGE + 1e-6, spacing)
    longitude = -180 + spacing * np.arange(2 * round(180 / spacing))
    for i in range(0, len(times), BATCH):
        batch = times[i : i + BATCH]
        truth = planet.brightness_temperature(batch.to_numpy(), latitude[:, None], longitude)
        for time, field in zip(batch, truth, strict=True):
            hour = int((time - EPOCH) // pd.Timedelta("1h"))
            rng = np.random.default_rng([planet.seed, 6, hour])
            if rng.random() < FILE_LOSS_RATE:
                continue
            seen = field + rng.normal(0, IMAGERY_NOISE_SD, field.shape)
            raw = np.rint((seen - 200) / 0.01).astype("i2")
            raw[_unseen(rng, field.shape, longitude)] = FILL
            path = folder / f"{time:%Y}" / f"GRIDSAT-B1.{time:%Y.%m.%d.%H}.v02r01.nc"
            _write_image(path, hour, latitude, longitude, raw)


def _unseen(
    rng: np.random.Generator, shape: tuple[int, ...], longitude: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Scattered pixels and, in some files, the sector of one satellite."""
    missing = rng.random(shape) < PIXEL_LOSS_RATE
    sector, west, width = rng.random(), 360 * rng.random(), rng.uniform(*SECTOR_WIDTH)
    if sector < SECTOR_LOSS_RATE:
        missing |= (longitude - west) % 360 < width
    return missing


def _write_image(
    path: Path,
    hour: int,
    latitude: NDArray[np.floating],
    longitude: NDArray[np.floating],
    raw: NDArray[np.int16],
) -> None:
    with _dataset(path, title="GridSat-B1 layout", Conventions="CF-1.6", source=SOURCE) as file:
        clock = {"units": "hours since 1970-01-01 00:00:00", "standard_name": "time"}
        north = {"units": "degrees_north", "standard_name": "latitude"}
        east = {"units": "degrees_east", "standard_name": "longitude"}
        for name, kind, size, values, attributes in (
            ("time", "i4", None, [hour], clock),
            ("lat", "f4", len(latitude), latitude, north),
            ("lon", "f4", len(longitude), longitude, east),
        ):
            file.createDimension(name, size)
            _variable(file, name, kind, (name,), values=values, attributes=attributes)
        window = {
            "long_name": "NOAA FCDR of Brightness Temperature near 11 microns (Nadir-most)",
            "standard_name": "toa_brightness_temperature",
            "units": "kelvin",
            "scale_factor": np.float32(0.01),
            "add_offset": np.float32(200),
            "valid_range": np.array([-6000, 17500], "i2"),
        }
        storage = {"zlib": True, "complevel": 1, "fill_value": np.int16(FILL)}
        _variable(
            file,
            "irwin_cdr",
            "i2",
            ("time", "lat", "lon"),
            values=raw[None],
            attributes=window,
            **storage,
        )
