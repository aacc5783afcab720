"""ERA5 from a public Zarr, for people without a key: ARCO ERA5 on Google Cloud, WeatherBench2.

Read anonymously over HTTPS. A chunk of ARCO ERA5 is an hour of all 37 levels, some 150 MB
unpacked, of which the wanted levels are kept: as they are, or as means over wider cells.
Carver and Merose 2023, ARCO-ERA5, https://github.com/google-research/arco-era5.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slams.archives import era5, zarr_http
from slams.archives.era5_join import join, write
from slams.archives.era5_month import Wanted, whole_month
from slams.archives.netcdf import horizontal, opened
from slams.archives.turns import turn
from slams.errors import ArchiveError
from slams.grid import Grid, Regridder
from slams.provenance import atomic

ADDRESS = (
    "https://storage.googleapis.com/gcp-public-data-arco-era5/ar/full_37-1h-0p25deg-chunk-1.zarr-v3"
)
AXES = ("time", "level", "latitude", "longitude")

log = logging.getLogger(__name__)


def fetch(
    year: int,
    month: int,
    target: Path | str,
    *,
    levels: Sequence[float],
    hours: Sequence[int],
    spacing: float | None = None,
    address: str | None = None,
    attempts: int = 5,
    first_wait: float = 1.0,
) -> Path:
    """Fetch one month into `target`, unless it is there whole; return its path.

    levels: hPa. hours: UTC, 0 to 23. spacing: degrees; the values are means over the cells of
    that grid (`grid.Regridder`), or with None those of the archive's own points. address: of the
    Zarr; None is ARCO ERA5. attempts: how often a server in trouble is asked, with waits that
    double from `first_wait` seconds.

    Each time becomes a file in `<target>.pieces` as soon as it is there; they become the month's
    one file, in the Climate Data Store's layout, when all are. A later call goes on from them.
    What is later than the archive's final data is marked as preliminary.

    Raises ArchiveError naming the address where it is no Zarr, lacks the variable, a level or a
    time, has points wider apart than `spacing`, or stays in trouble.
    """
    target = Path(target)
    origin = _origin(address, spacing)
    wanted = whole_month(year, month, levels=levels, hours=hours, spacing=spacing)
    if target.exists() and _lacks(wanted, origin)(target) is None:
        return target
    with turn(target):
        if not (target.exists() and _lacks(wanted, origin)(target) is None):
            _fetch(wanted, target, origin, address, attempts, first_wait)
    return target


def _fetch(
    wanted: Wanted, target: Path, origin: str, address: str | None, attempts: int, first_wait: float
) -> None:
    folder = target.with_name(target.name + ".pieces")
    with zarr_http.opened(_web(address), attempts, first_wait) as archive:
        files = [
            _fetch_time(archive, piece, folder / f"{moment}.nc", origin)
            for piece, moment in _single_times(wanted)
        ]
    joined = folder / target.name
    join(files, joined, _lacks(wanted, origin), {"source": origin})
    joined.replace(target)
    shutil.rmtree(folder)


def fetch_land_mask(
    target: Path | str,
    *,
    spacing: float | None = None,
    address: str | None = None,
    attempts: int = 5,
    first_wait: float = 1.0,
) -> Path:
    """Fetch the land-sea mask into `target`, unless it is there whole; return its path.

    See `fetch` for the arguments and what is raised.
    """
    target = Path(target)
    origin = _origin(address, spacing)
    if target.exists() and _other_mask(target, origin) is None:
        return target
    with zarr_http.opened(_web(address), attempts, first_wait) as archive:
        field = archive.variable("land_sea_mask")
        if "time" in field.dims:
            start = archive.dataset.attrs.get("valid_time_start")
            moments = archive.dataset["time"].values
            first = np.searchsorted(moments, np.datetime64(start, "ns")) if start else 0
            field = field.isel(time=min(int(first), moments.size - 1))
        latitude, longitude, values = _placed(archive, field, spacing)
    land = xr.DataArray(
        values.clip(0.0, 1.0),
        dims=("latitude", "longitude"),
        coords={"latitude": latitude, "longitude": longitude},
        name="lsm",
        attrs={"units": "1", "standard_name": "land_area_fraction"},
    )
    with atomic(target) as partial:
        land.to_dataset().assign_attrs(source=origin).to_netcdf(partial, engine="netcdf4")
        lacking = _other_mask(partial, origin)
        if lacking is not None:
            raise ArchiveError(f"{target}: what {_web(address)} holds is no mask: {lacking}")
    return target


def _web(address: str | None) -> str:
    """The address over HTTPS, also of one written gs://bucket/..."""
    address = (address or ADDRESS).rstrip("/")
    return address.replace("gs://", "https://storage.googleapis.com/", 1)


def _origin(address: str | None, spacing: float | None) -> str:
    """What a file says of where its values come from; files of two origins never mix."""
    points = "as it is" if spacing is None else f"means over cells of {spacing:g} degrees"
    return f"{_web(address)}, {points}"


def _lacks(wanted: Wanted, origin: str) -> Callable[[Path], str | None]:
    """As `Wanted.lacks`, and of that origin."""
    return lambda path: _other_origin(path, origin) or wanted.lacks(path)


def _other_origin(path: Path, origin: str) -> str | None:
    try:
        with opened(path) as dataset:
            found = dataset.attrs.get("source")
    except ArchiveError as error:
        return str(error)
    return None if found == origin else f"{path} comes from {found}, not {origin}; fetch it again."


def _other_mask(path: Path, origin: str) -> str | None:
    try:
        era5.open_land_mask(path)
    except ArchiveError as error:
        return str(error)
    return _other_origin(path, origin)


def _single_times(wanted: Wanted) -> Iterator[tuple[Wanted, str]]:
    """Every time by itself, with its name."""
    for day in wanted.days:
        for hour in wanted.hours:
            one = replace(wanted, days=(day,), hours=(hour,))
            yield one, np.datetime_as_string(one.times[0], unit="h")


def _fetch_time(archive: zarr_http.Archive, one: Wanted, file: Path, origin: str) -> Path:
    """Fetch one time into `file`, unless it is there whole."""
    lacks = _lacks(one, origin)
    if file.exists() and lacks(file) is None:
        return file
    moment = one.times[0]
    place = archive.place(moment)
    field = _temperature(archive).isel(time=place)
    order = _level_places(archive, one.levels)
    latitude, longitude, values = _placed(archive, field.isel(level=order), one.spacing)
    if np.isnan(values).all(axis=(-2, -1)).any():
        raise ArchiveError(
            f"{archive.address} holds no value at {np.datetime_as_string(moment, unit='h')}, "
            "although its time axis has it; choose earlier periods, or fetch it later."
        )
    log.info("%s: fetched", file)
    levels = np.asarray(one.levels, dtype=np.float64)
    block = era5.Block(
        xr.DataArray(
            values[None],
            dims=AXES,
            coords={
                "time": one.times,
                "level": levels,
                "latitude": latitude,
                "longitude": longitude,
            },
        ),
        np.array([archive.is_preliminary(moment)]),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write([block], file, one.times, levels, lacks, {"source": origin})
    return file


def _temperature(archive: zarr_http.Archive) -> xr.DataArray:
    field = archive.variable("temperature")
    if set(field.dims) != set(AXES) or field.attrs.get("units", "K") != "K":
        raise ArchiveError(
            f"{archive.address}: temperature has dimensions {field.dims} and units "
            f"{field.attrs.get('units')!r}, not {AXES} and K; set archives.era5.address to ERA5 "
            "on pressure levels."
        )
    return field


def _level_places(archive: zarr_http.Archive, levels: Sequence[float]) -> list[int]:
    """Where levels (hPa) lie in the archive."""
    stored = archive.dataset["level"].values.astype(np.float64)
    places = [np.flatnonzero(np.abs(stored - level) < 1e-3) for level in levels]
    missing = [level for level, place in zip(levels, places, strict=True) if not place.size]
    if missing:
        raise ArchiveError(
            f"{archive.address} lacks the levels {missing} hPa (it has {stored.tolist()}); change "
            "the key levels, or archives.era5.address."
        )
    return [int(place[0]) for place in places]


def _placed(
    archive: zarr_http.Archive, field: xr.DataArray, spacing: float | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
    """Latitudes north first, longitudes 0..360, and values (..., latitude, longitude) there."""
    axes = archive.dataset["latitude"].values, archive.dataset["longitude"].values
    north, east, rows, columns = horizontal(*axes, Path(archive.address))
    gap = float(np.abs(np.diff(north)).max()) if north.size > 1 else 180.0
    if spacing is not None and gap > spacing * 1.001:
        raise ArchiveError(
            f"{archive.address} has points {gap:g} degrees apart, and archives.era5.spacing is "
            f"{spacing:g}; set it to null or to more, or take another archives.era5.address."
        )
    values = archive.values(field.transpose(..., "latitude", "longitude"))
    values = values.astype(np.float32)[..., rows, :][..., columns]
    if spacing is None:
        return north, east, values
    grid = Grid(spacing)
    return grid.latitude, grid.longitude, Regridder(north, east, grid)(values)
