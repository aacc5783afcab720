"""ERA5 air temperature on pressure levels, as the Climate Data Store and others deliver it.

Read are the store's present netCDF (`valid_time`, `pressure_level`) and the one before autumn
2024 (`time`, `level`, packed integers), GRIB where cfgrib is installed, and zip files of them;
final data mixed with preliminary ones (ERA5T, `expver`) in every form; ensembles.
Hersbach et al. 2020, Quart. J. Roy. Meteor. Soc. 146, 1999.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slams.archives.era5_files import parts
from slams.archives.era5_layouts import Fields, named
from slams.archives.netcdf import horizontal, reading
from slams.errors import ArchiveError
from slams.provenance import file_hash

PLAUSIBLE = (100.0, 400.0)  # K
LIMIT = 256 << 20  # bytes
ATTRIBUTES = {
    "time": {"standard_name": "time"},
    "number": {"standard_name": "realization"},
    "level": {"standard_name": "air_pressure", "units": "hPa", "positive": "down"},
    "latitude": {"standard_name": "latitude", "units": "degrees_north"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east"},
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Block:
    """Some times of a file: the field as `pieces` gives it, and which times are preliminary."""

    field: xr.DataArray
    preliminary: NDArray[np.bool_]


def open(
    paths: Path | str | Sequence[Path | str], levels: Sequence[float] | None = None
) -> xr.DataArray:
    """Air temperature of one or several files, joined in time.

    paths: a file or files of one product, with the same levels, points and members.
    levels: hPa; only these are taken. None takes all.
    Returns air_temperature(time[, number], level, latitude, longitude), float32, K, in memory;
    time datetime64[ns] sorted, level in hPa increasing (top first), latitude north first,
    longitude 0..360 ascending. `number` is there only for an ensemble of two members or more.
    Where final and preliminary (ERA5T) values of a time are there, in one file or in two, the
    final ones are taken.

    Raises ArchiveError, naming the file, when one is truncated, of another product, lacks a
    level, holds values outside 100..400 K or a field that is missing as a whole, when files
    disagree in levels, points or members, and when two of the same kind hold a time.
    """
    files = [Path(paths)] if isinstance(paths, Path | str) else [Path(path) for path in paths]
    if not files:
        raise ArchiveError("No ERA5 file was given; fetch the period first.")
    held = [(str(file), block) for file in files for block in blocks(file, levels)]
    for label, block in held[1:]:
        _check_agreement(held[0][1].field, block.field, held[0][0], label)
    moments = np.concatenate([block.field.time.values for _, block in held])
    late = np.concatenate([block.preliminary for _, block in held])
    labels = [label for label, block in held for _ in range(block.field.sizes["time"])]
    fields = [block.field for _, block in held]
    joined = fields[0] if len(fields) == 1 else xr.concat(fields, dim="time", join="exact")
    return joined.isel(time=_chosen(moments, late, labels)).sortby("time")


def pieces(
    path: Path | str, levels: Sequence[float] | None = None, limit: int = LIMIT
) -> Iterator[xr.DataArray]:
    """The fields of one file in the form that `open` gives, some times at once.

    limit: bytes of float32 at a time, and at least one time; reading takes some three times as
    much memory in all, more where values are packed. Times come in the file's order,
    each once. Raises as `open` does; values are checked as they are read.
    """
    for block in blocks(path, levels, limit):
        yield block.field


def blocks(
    path: Path | str, levels: Sequence[float] | None = None, limit: int = LIMIT
) -> Iterator[Block]:
    """As `pieces`, with which of the times are preliminary."""
    with _contents(Path(path), levels) as contents:
        for fields, start, stop in _runs(contents, limit):
            yield _block(fields, start, stop)


def outline(path: Path | str) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Times and levels (hPa) of a file, sorted, without reading its values.

    Raises as `open` does where the file cannot be opened or holds something else.
    """
    with _contents(Path(path), None) as contents:
        times = np.unique(np.concatenate([fields.times for fields in contents]))
        return times, contents[0].levels


def inspect(path: Path | str, limit: int = LIMIT) -> dict[str, Any]:
    """Read a file once in full and say what it holds, ready for JSON.

    Returns path, bytes, sha256, times (ISO, UTC, sorted), levels (hPa), members (1 for a single
    field) and preliminary_times, those of the times that are ERA5T, which the store will replace.
    Raises ArchiveError as `open` does, so that a file that passes is whole. It takes the memory
    of `pieces`.
    """
    path = Path(path)
    times: list[NDArray[np.datetime64]] = []
    preliminary: list[NDArray[np.datetime64]] = []
    for block in blocks(path, limit=limit):
        times.append(block.field.time.values)
        preliminary.append(block.field.time.values[block.preliminary])
        levels, members = block.field.level.values, block.field.sizes.get("number", 1)
    late = np.concatenate(preliminary)
    if late.size:
        log.info("%s: %d times are preliminary (ERA5T)", path, late.size)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": file_hash(path),
        "times": _texts(np.concatenate(times)),
        "levels": levels.tolist(),
        "members": members,
        "preliminary_times": _texts(late),
    }


def _texts(moments: NDArray[np.datetime64]) -> list[str]:
    return np.datetime_as_string(np.sort(moments), unit="s").tolist()


def open_land_mask(path: Path | str) -> xr.DataArray:
    """The land-sea mask: lsm(latitude, longitude), float32, fraction of land, 0 to 1.

    Latitude north first, longitude 0..360 ascending.
    Raises ArchiveError when the file is damaged or holds no such mask.
    """
    path = Path(path)
    with parts(path) as contents:
        found = [part for part in contents if "lsm" in part.dataset]
        if not found:
            raise ArchiveError(f"{path} holds no lsm; ask for the variable land_sea_mask.")
        with reading(path, found[0].failures):
            rows, columns, values = named(found[0].dataset["lsm"], str(path))
            north, east, down, across = horizontal(rows, columns, path)
            land = values.astype(np.float32)[np.ix_(down, across)]
    if not np.all((land >= 0.0) & (land <= 1.0)) or not land.size:
        raise ArchiveError(f"{path}: lsm is not a fraction between 0 and 1; fetch it again.")
    return xr.DataArray(
        land,
        dims=("latitude", "longitude"),
        coords=_coordinates(latitude=north, longitude=east),
        name="lsm",
        attrs={"units": "1", "standard_name": "land_area_fraction"},
    )


def land_mask_in(paths: Sequence[Path | str]) -> xr.DataArray | None:
    """The land-sea mask of a rule's inputs: of the first, a file or a folder with one; or None."""
    if not paths:
        return None
    path = Path(paths[0])
    return open_land_mask(path / "land_sea_mask.nc" if path.is_dir() else path)


@contextmanager
def _contents(path: Path, levels: Sequence[float] | None) -> Iterator[list[Fields]]:
    """The temperatures of a file, of which a zip may hold several besides other variables."""
    with parts(path) as found:
        relevant = [part for part in found if {"t", "air_temperature"} & set(part.dataset)]
        contents = [Fields(part, levels) for part in relevant or found[:1]]
        for other in contents[1:]:
            _check_agreement(contents[0], other, contents[0].label, other.label)
        yield contents


def _runs(contents: Sequence[Fields], limit: int) -> Iterator[tuple[Fields, int, int]]:
    """What to read together: entries in their order, each time once, within the limit."""
    moments = np.concatenate([fields.times for fields in contents])
    late = np.concatenate([fields.preliminary for fields in contents])
    labels = [fields.label for fields in contents for _ in fields.times]
    chosen = np.zeros(moments.size, dtype=bool)
    chosen[_chosen(moments, late, labels)] = True
    first = 0
    for fields in contents:
        taken = np.flatnonzero(chosen[first : first + fields.times.size])
        first += fields.times.size
        count = max(1, limit // fields.bytes_a_time)
        if count > fields.chunk:
            count -= count % fields.chunk
        # Runs of neighbours, cut where the file's own pieces end.
        run = taken // count + np.cumsum(np.diff(taken, prepend=-1) != 1)
        for number in np.unique(run):
            entries = taken[run == number]
            yield fields, int(entries[0]), int(entries[-1]) + 1


def _chosen(
    moments: NDArray[np.datetime64], late: NDArray[np.bool_], labels: Sequence[str]
) -> NDArray[np.intp]:
    """Indices of the entries to take, in their order: each time once, final before preliminary.

    Raises ArchiveError where two of the same kind hold a time.
    """
    order = np.lexsort((late, moments))
    same = np.flatnonzero(moments[order[1:]] == moments[order[:-1]])
    for index in same:
        one, two = order[index], order[index + 1]
        if late[one] == late[two]:
            moment = np.datetime_as_string(moments[one], unit="m")
            raise ArchiveError(
                f"{labels[one]} and {labels[two]} both hold {moment}; give one of them."
            )
    return np.sort(np.delete(order, same + 1))


def _block(fields: Fields, start: int, stop: int) -> Block:
    """Some entries, read and checked."""
    values, preliminary = fields.read(start, stop)
    numbers = {} if fields.numbers is None else {"number": fields.numbers}
    field = xr.DataArray(
        values,
        dims=("time", *numbers, "level", "latitude", "longitude"),
        coords=_coordinates(
            time=fields.times[start:stop],
            **numbers,
            level=fields.levels,
            latitude=fields.latitude,
            longitude=fields.longitude,
        ),
        name="air_temperature",
        attrs={"units": "K", "standard_name": "air_temperature"},
    )
    _check_values(field, fields.label)
    return Block(field, preliminary)


def _coordinates(**values: NDArray[Any]) -> dict[str, Any]:
    """One-dimensional coordinates for xarray, by name, with CF attributes."""
    return {name: (name, value, ATTRIBUTES[name]) for name, value in values.items()}


def _check_values(field: xr.DataArray, label: str) -> None:
    for index, level in enumerate(field.level.values):
        values = field.isel(level=index).values
        wrong = (values < PLAUSIBLE[0]) | (values > PLAUSIBLE[1])
        if wrong.any():
            raise ArchiveError(
                f"{label} holds {float(values[wrong][0]):g} K at {level:g} hPa, outside "
                f"{PLAUSIBLE[0]:g}..{PLAUSIBLE[1]:g} K; it is damaged or of another product."
            )
        empty = np.isnan(values).all(axis=(-2, -1))
        if empty.any():
            time = field.time.values[np.argwhere(empty)[0][0]]
            raise ArchiveError(
                f"{label} holds no value at {level:g} hPa, {np.datetime_as_string(time, unit='m')};"
                " fetch it again."
            )


def _axis(field: xr.DataArray | Fields, name: str) -> NDArray[Any]:
    """An axis of a field, or of one not yet read; empty where there is none."""
    if isinstance(field, Fields):
        found = getattr(field, {"number": "numbers", "level": "levels"}.get(name, name))
        return np.zeros(0) if found is None else found
    return field[name].values if name in field.dims else np.zeros(0)


def _check_agreement(
    first: xr.DataArray | Fields, other: xr.DataArray | Fields, path: str, file: str
) -> None:
    for name in ("number", "level", "latitude", "longitude"):
        if not np.array_equal(_axis(first, name), _axis(other, name)):
            raise ArchiveError(
                f"{file} and {path} differ in {name}; give files of one request, or take the "
                "levels that they share."
            )
