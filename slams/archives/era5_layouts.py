"""The layouts in which ERA5 comes, brought to one: names, order, units, plausible values."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slams.archives.netcdf import horizontal, opened, times
from slams.errors import ArchiveError

PLAUSIBLE = (100.0, 400.0)  # K
NAMES = {
    "time": ("valid_time", "time"),
    "level": ("pressure_level", "level", "isobaricInhPa"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon"),
    "number": ("number",),
    "expver": ("expver",),
}
HECTOPASCALS = {"hPa": 1.0, "millibars": 1.0, "mbar": 1.0, "Pa": 0.01}
ATTRIBUTES = {
    "time": {"standard_name": "time"},
    "number": {"standard_name": "realization"},
    "level": {"standard_name": "air_pressure", "units": "hPa", "positive": "down"},
    "latitude": {"standard_name": "latitude", "units": "degrees_north"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east"},
}


def open_one(path: Path, levels: Sequence[float] | None) -> xr.DataArray:
    """One file as `slams.archives.era5.open` returns it, times in the file's order."""
    with opened(path) as dataset:
        field = named(_temperature(dataset, path))
        if "time" in field.coords and "time" not in field.dims:
            field = field.expand_dims("time")
        if "level" in field.coords and "level" not in field.dims:
            field = field.expand_dims("level")
        lacking = {"time", "level", "latitude", "longitude"} - set(field.dims)
        strange = set(field.dims) - set(NAMES)
        if lacking or strange:
            raise ArchiveError(
                f"{path}: temperature has dimensions {field.dims}"
                + (f", none for {', '.join(sorted(lacking))}" if lacking else "")
                + "; give ERA5 on pressure levels."
            )
        moments = times(field.coords.to_dataset(), "time", path)
        pressure, order = _pressure(field["level"], levels, path)
        field = _merge_versions(field.isel(level=order).load())
    if "number" in field.dims and field.sizes["number"] == 1:
        field = field.isel(number=0)
    members = ("number",) if "number" in field.dims else ()
    field = field.transpose("time", *members, "level", "latitude", "longitude")
    north, east, rows, columns = horizontal(field.latitude.values, field.longitude.values, path)
    values = field.values[..., rows, :][..., columns].astype(np.float32, copy=False)
    numbers = {"number": field["number"].values} if members else {}
    result = xr.DataArray(
        values,
        dims=field.dims,
        coords=coordinates(time=moments, **numbers, level=pressure, latitude=north, longitude=east),
        name="air_temperature",
        attrs={"units": "K", "standard_name": "air_temperature"},
    )
    _check_values(result, path)
    return result


def _temperature(dataset: xr.Dataset, path: Path) -> xr.DataArray:
    found = [
        variable for name, variable in dataset.data_vars.items() if name in ("t", "air_temperature")
    ]
    if not found:
        raise ArchiveError(
            f"{path} holds {sorted(map(str, dataset.data_vars))} and no air temperature (t); it "
            "is of another product: give the variable temperature on pressure levels."
        )
    units = found[0].attrs.get("units")
    if units != "K":
        raise ArchiveError(
            f"{path}: temperature is in {units!r}, not K; it is of another product or was "
            "converted: fetch the original."
        )
    return found[0]


def named(field: xr.DataArray) -> xr.DataArray:
    """The field with its dimensions and coordinates under our names."""
    known = {*field.dims, *field.coords}
    renamed = {}
    for name, spellings in NAMES.items():
        if present := [spelling for spelling in spellings if spelling in known]:
            renamed[present[0]] = name
    if "valid_time" in known and "time" in field.coords:
        # The start of the forecast, as GRIB conversions add it: not a time of the field.
        field = field.drop_vars("time")
    return field.rename({old: new for old, new in renamed.items() if old != new})


def _pressure(
    level: xr.DataArray, levels: Sequence[float] | None, path: Path
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Levels taken, hPa, top first, and where they are in the file."""
    units = level.attrs.get("units")
    if units not in HECTOPASCALS:
        raise ArchiveError(f"{path}: levels are in {units!r}, not hPa; give pressure levels.")
    stored = level.values.astype(np.float64) * HECTOPASCALS[units]
    if np.unique(stored).size != stored.size:
        raise ArchiveError(f"{path} holds a level twice: {stored.tolist()}; fetch it again.")
    wanted = stored if levels is None else np.asarray(levels, dtype=np.float64)
    wanted = np.unique(wanted)
    near = np.abs(stored[:, None] - wanted[None]) < 1e-3
    missing = wanted[~near.any(axis=0)]
    if missing.size or not wanted.size:
        raise ArchiveError(
            f"{path} lacks the levels {missing.tolist()} hPa (it has {np.sort(stored).tolist()}); "
            "change the levels or fetch them."
        )
    return wanted, near.argmax(axis=0)


def _merge_versions(field: xr.DataArray) -> xr.DataArray:
    """One field out of final (expver 1) and preliminary (5) ones, each NaN where not valid."""
    if "expver" not in field.dims:
        return field
    merged = field.sortby("expver")
    result = merged.isel(expver=0, drop=True)
    for version in range(1, merged.sizes["expver"]):
        result = result.fillna(merged.isel(expver=version, drop=True))
    return result


def coordinates(**values: NDArray[Any]) -> dict[str, Any]:
    """One-dimensional coordinates for xarray, by name, with CF attributes."""
    return {name: (name, value, ATTRIBUTES[name]) for name, value in values.items()}


def _check_values(field: xr.DataArray, path: Path) -> None:
    for index, level in enumerate(field.level.values):
        values = field.isel(level=index).values
        wrong = (values < PLAUSIBLE[0]) | (values > PLAUSIBLE[1])
        if wrong.any():
            raise ArchiveError(
                f"{path} holds {float(values[wrong][0]):g} K at {level:g} hPa, outside "
                f"{PLAUSIBLE[0]:g}..{PLAUSIBLE[1]:g} K; it is damaged or of another product."
            )
        empty = np.isnan(values).all(axis=(-2, -1))
        if empty.any():
            time = field.time.values[np.argwhere(empty)[0][0]]
            raise ArchiveError(
                f"{path} holds no value at {level:g} hPa, {np.datetime_as_string(time, unit='m')};"
                " fetch it again."
            )
