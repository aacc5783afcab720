"""Fields of many times in one netCDF file, written and read a piece at a time.

A year may be larger than the memory: nothing here holds more than a piece of it.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

from slams import room
from slams.errors import ArchiveError
from slams.netcdf import open_dataset
from slams.provenance import atomic

PIECE = 1 << 28  # bytes of fields held at a time
UNITS = "seconds since 1970-01-01 00:00:00"


def write(
    target: Path | str,
    times: np.ndarray,
    pieces: Iterable[xr.Dataset],
    attributes: Mapping[str, str],
) -> None:
    """Write fields to `target`, which takes its name only when every time is there.

    times: (time,) datetime64, UTC, in order. pieces: data sets of the same variables, each with a
    dimension time, on the same other dimensions; together they hold each of the times once, in
    any order. attributes: of the file.

    Variables are float32 with time first and not compressed, missing values NaN.

    Raises ArchiveError where a time comes twice, is not among the times or never comes, and where
    pieces differ in their variables or other dimensions; SlamsError where the disk has no room for
    all of them, as soon as the first is there.
    """
    times = np.asarray(times, "datetime64[s]")
    written = np.zeros(len(times), bool)
    first: xr.Dataset | None = None
    with atomic(target) as path, netCDF4.Dataset(path, "w") as file:
        file.set_fill_off()  # every value is written
        for piece in pieces:
            ordered = piece.transpose("time", ...)
            if first is None:
                first = ordered.isel(time=slice(0, 0))
                _check_room(target, len(times), ordered)
                _prepare(file, ordered, times)
            _check_alike(ordered, first, target)
            place = _places(times, ordered["time"].values, written, target)
            for name, variable in ordered.data_vars.items():
                _put(file.variables[str(name)], place, variable.values)
        if not written.all():
            missing = np.datetime_as_string(times[~written][0], "h")
            raise ArchiveError(
                f"{target}: {int((~written).sum())} of {len(times)} times never came, the first "
                f"{missing}; ingest the year again"
            )
        file.setncatts(dict(attributes))


def _check_room(target: Path | str, times: int, piece: xr.Dataset) -> None:
    values = sum(field.size // piece.sizes["time"] for field in piece.data_vars.values())
    size = 4 * times * values  # float32, not compressed
    room.check(Path(target).parent, size, f"{target}, {times} times,")


def _prepare(file: netCDF4.Dataset, piece: xr.Dataset, times: np.ndarray) -> None:
    """Dimensions, coordinates and empty variables as a piece has them, for all of the times."""
    for name, size in piece.sizes.items():
        file.createDimension(str(name), len(times) if name == "time" else size)
    time = file.createVariable("time", "i8", ("time",))
    time.setncatts({"units": UNITS, "calendar": "proleptic_gregorian", "standard_name": "time"})
    time[:] = times.astype(np.int64)
    for name, coordinate in piece.coords.items():
        if name == "time" or "time" in coordinate.dims:
            continue
        values = coordinate.values
        variable = file.createVariable(str(name), values.dtype, tuple(map(str, coordinate.dims)))
        variable.setncatts(coordinate.attrs)
        variable[...] = values
    for name, field in piece.data_vars.items():
        dims = tuple(map(str, field.dims))
        variable = file.createVariable(str(name), "f4", dims, fill_value=np.float32(np.nan))
        variable.setncatts(field.attrs)


def _check_alike(piece: xr.Dataset, first: xr.Dataset, target: Path | str) -> None:
    def shape(data: xr.Dataset) -> dict[Hashable, Any]:
        return {name: (field.dims, field.shape[1:]) for name, field in data.data_vars.items()}

    if shape(piece) != shape(first):
        raise ArchiveError(
            f"{target}: pieces differ in their fields ({shape(first)} and {shape(piece)}); give "
            "files of one product, or take them apart by year"
        )
    for name, coordinate in first.coords.items():
        if "time" not in coordinate.dims and not piece[name].equals(coordinate):
            raise ArchiveError(
                f"{target}: pieces differ in {name}; give files of one product and one ensemble"
            )


def _places(
    times: np.ndarray, found: np.ndarray, written: np.ndarray, target: Path | str
) -> np.ndarray:
    """Where the found times stand among all, now marked as written."""
    moments = np.asarray(found, "datetime64[s]")
    place = np.searchsorted(times, moments)
    strange = (place == len(times)) | (times[np.minimum(place, len(times) - 1)] != moments)
    if strange.any():
        raise ArchiveError(f"{target}: {moments[strange][0]} is none of its times")
    again = written[place]
    if again.any() or len(np.unique(place)) < len(place):
        twice = moments[again][0] if again.any() else moments[0]
        raise ArchiveError(f"{target}: {twice} comes twice; give one file of each time")
    written[place] = True
    return place


def _put(variable: Any, place: np.ndarray, values: np.ndarray) -> None:
    """Write fields at their places, in one go where these follow one another."""
    if len(place) and np.array_equal(place, np.arange(place[0], place[0] + len(place))):
        variable[place[0] : place[0] + len(place)] = values
        return
    for index, field in zip(place, values, strict=True):
        variable[index] = field


def read(
    path: Path | str,
    name: str,
    first: np.datetime64,
    last: np.datetime64,
    **chosen_labels: Any,
) -> Iterator[xr.DataArray]:
    """A variable's fields of the times from first to last (both included), a piece at a time.

    chosen_labels: labels of other dimensions to take, such as number=3. Each piece is in memory
    and takes at most `PIECE` bytes, or holds one field.
    """
    with open_dataset(path) as dataset:
        field = dataset[name].sel(chosen_labels)
        times = field["time"].values
        chosen = np.flatnonzero((times >= first) & (times <= last))
        if not chosen.size:
            return
        size = max(1, PIECE // (field.isel(time=0).size * field.dtype.itemsize))
        for start in range(0, len(chosen), size):
            yield field.isel(time=chosen[start : start + size]).load()
