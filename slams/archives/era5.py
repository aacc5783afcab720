"""ERA5 air temperature on pressure levels, as the Climate Data Store delivers it.

Both layouts are read: the store's present netCDF (`valid_time`, `pressure_level`) and the one
before autumn 2024 (`time`, `level`, packed integers, `expver` as a dimension).
Hersbach et al. 2020, Quart. J. Roy. Meteor. Soc. 146, 1999.
"""

from calendar import monthrange
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from slams.archives import cds
from slams.archives.era5_layouts import coordinates, named, open_one
from slams.archives.fetch import sha256
from slams.archives.netcdf import horizontal, opened
from slams.errors import ArchiveError

DATASET = "reanalysis-era5-pressure-levels"
SURFACE_DATASET = "reanalysis-era5-single-levels"


def open(
    paths: Path | str | Sequence[Path | str], levels: Sequence[float] | None = None
) -> xr.DataArray:
    """Air temperature of one or several files, joined in time.

    paths: a file or files of one product, with the same levels, points and members.
    levels: hPa; only these are taken. None takes all.
    Returns air_temperature(time[, number], level, latitude, longitude), float32, K, in memory;
    time datetime64[ns] sorted, level in hPa increasing (top first), latitude north first,
    longitude 0..360 ascending. `number` is there only for an ensemble of two members or more.
    Where an old file mixes final and preliminary data, the final ones are taken.

    Raises ArchiveError, naming the file, when one is truncated, of another product, lacks a
    level, holds values outside 100..400 K or a field that is missing as a whole, when files
    disagree in levels, points or members, and when a time occurs twice.
    """
    files = [Path(paths)] if isinstance(paths, Path | str) else [Path(path) for path in paths]
    if not files:
        raise ArchiveError("No ERA5 file was given; fetch the period first.")
    parts = [open_one(file, levels) for file in files]
    for file, part in zip(files[1:], parts[1:], strict=True):
        _check_agreement(parts[0], part, files[0], file)
    _check_times(files, parts)
    joined = parts[0] if len(parts) == 1 else xr.concat(parts, dim="time", join="exact")
    return joined.sortby("time")


def pieces(path: Path | str, levels: Sequence[float] | None = None) -> Iterator[xr.DataArray]:
    """The fields of a file as `open` gives them."""
    yield open(path, levels)


def open_land_mask(path: Path | str) -> xr.DataArray:
    """The land-sea mask: lsm(latitude, longitude), float32, fraction of land, 0 to 1.

    Latitude north first, longitude 0..360 ascending.
    Raises ArchiveError when the file is damaged or holds no such mask.
    """
    path = Path(path)
    with opened(path) as dataset:
        if "lsm" not in dataset:
            raise ArchiveError(f"{path} holds no lsm; ask for the variable land_sea_mask.")
        field = named(dataset["lsm"]).squeeze(drop=True).load()
    if set(field.dims) != {"latitude", "longitude"}:
        raise ArchiveError(f"{path}: lsm has dimensions {field.dims}; keep a single time.")
    field = field.transpose("latitude", "longitude")
    north, east, rows, columns = horizontal(field.latitude.values, field.longitude.values, path)
    values = field.values.astype(np.float32)[np.ix_(rows, columns)]
    if not np.all((values >= 0.0) & (values <= 1.0)):
        raise ArchiveError(f"{path}: lsm is not a fraction between 0 and 1; fetch it again.")
    return xr.DataArray(
        values,
        dims=("latitude", "longitude"),
        coords=coordinates(latitude=north, longitude=east),
        name="lsm",
        attrs={"units": "1", "standard_name": "land_area_fraction"},
    )


def inspect(path: Path | str) -> dict[str, Any]:
    """Read a file once in full and say what it holds, ready for JSON.

    Returns path, bytes, sha256, times (ISO, UTC), levels (hPa) and members (1 for a single
    field). Raises ArchiveError as `open` does, so that a file that passes is whole.
    """
    path = Path(path)
    field = open(path)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "times": np.datetime_as_string(field.time.values, unit="s").tolist(),
        "levels": field.level.values.tolist(),
        "members": field.sizes.get("number", 1),
    }


def request(
    year: int,
    month: int,
    *,
    levels: Sequence[float],
    hours: Sequence[int],
    spacing: float,
    area: Sequence[float] | None = None,
    product_type: str = "reanalysis",
) -> dict[str, Any]:
    """The request to the Climate Data Store for all days of a month.

    levels: hPa. hours: UTC, 0 to 23. spacing: degrees between the points. area: north, west,
    south, east in degrees, None for the globe.
    """
    asked: dict[str, Any] = {
        "product_type": [product_type],
        "variable": ["temperature"],
        "year": [f"{year:04d}"],
        "month": [f"{month:02d}"],
        "day": [f"{day:02d}" for day in range(1, monthrange(year, month)[1] + 1)],
        "time": [f"{hour:02d}:00" for hour in sorted(hours)],
        "pressure_level": [f"{level:g}" for level in sorted(levels)],
        "grid": [f"{spacing:g}", f"{spacing:g}"],
        "data_format": "netcdf",
        "download_format": "unarchived",
    }
    if area is not None:
        asked["area"] = [float(edge) for edge in area]
    return asked


def fetch(
    year: int,
    month: int,
    target: Path | str,
    *,
    levels: Sequence[float],
    hours: Sequence[int],
    spacing: float,
    area: Sequence[float] | None = None,
    dataset: str = DATASET,
    product_type: str = "reanalysis",
    client: cds.Client | None = None,
) -> Path:
    """Fetch one month (see `request`) into `target`, unless it is there whole; return its path.

    The file appears under its name only when it has been read through and holds every hour of
    the month and every level. client: a `cdsapi.Client`; None makes one with the user's key.

    Raises SlamsError when there is no key and ArchiveError when the store refuses or delivers
    something else (see `cds.retrieve`).
    """
    target = Path(target)
    if target.exists() and _lacks(target, year, month, levels, hours) is None:
        return target
    asked = request(
        year,
        month,
        levels=levels,
        hours=hours,
        spacing=spacing,
        area=area,
        product_type=product_type,
    )
    store = cds.client() if client is None else client
    cds.retrieve(
        dataset, asked, target, store, lambda part: _lacks(part, year, month, levels, hours)
    )
    return target


def fetch_land_mask(
    target: Path | str, *, spacing: float, client: cds.Client | None = None
) -> Path:
    """Fetch the land-sea mask into `target`, unless it is there whole; return its path.

    spacing: degrees between the points. It is the same at all times; one is asked for.
    Raises as `fetch` does.
    """
    target = Path(target)
    if target.exists() and _not_a_mask(target) is None:
        return target
    asked = {
        "product_type": ["reanalysis"],
        "variable": ["land_sea_mask"],
        "year": ["2000"],
        "month": ["01"],
        "day": ["01"],
        "time": ["00:00"],
        "grid": [f"{spacing:g}", f"{spacing:g}"],
        "data_format": "netcdf",
        "download_format": "unarchived",
    }
    store = cds.client() if client is None else client
    cds.retrieve(SURFACE_DATASET, asked, target, store, _not_a_mask)
    return target


def _not_a_mask(path: Path) -> str | None:
    """Why a file is no land-sea mask; None when it is one."""
    try:
        open_land_mask(path)
    except ArchiveError as error:
        return str(error)
    return None


def _lacks(
    path: Path, year: int, month: int, levels: Sequence[float], hours: Sequence[int]
) -> str | None:
    """What a month's file lacks or why it cannot be read; None when it is whole."""
    try:
        found = open(path, levels)
    except ArchiveError as error:
        return str(error)
    days = monthrange(year, month)[1]
    start = np.datetime64(f"{year:04d}-{month:02d}-01T00", "h")
    expected = (start + 24 * np.arange(days)[:, None] + np.sort(np.asarray(hours))).ravel()
    missing = expected[~np.isin(expected, found.time.values)]
    if not missing.size:
        return None
    return (
        f"it lacks {missing.size} of {expected.size} times, the first {missing[0]}; fetch the "
        "month again, later if it is the present one."
    )


def _check_agreement(first: xr.DataArray, other: xr.DataArray, path: Path, file: Path) -> None:
    for name in ("number", "level", "latitude", "longitude"):
        one, two = (
            field[name].values if name in field.dims else np.zeros(0) for field in (first, other)
        )
        if not np.array_equal(one, two):
            raise ArchiveError(
                f"{file} and {path} differ in {name}; give files of one request, or take the "
                "levels that they share."
            )


def _check_times(files: Sequence[Path], parts: Sequence[xr.DataArray]) -> None:
    seen: dict[Any, Path] = {}
    for file, part in zip(files, parts, strict=True):
        for time in part.time.values:
            if time in seen:
                moment = np.datetime_as_string(time, unit="m")
                raise ArchiveError(f"{seen[time]} and {file} both hold {moment}; give one of them.")
            seen[time] = file
