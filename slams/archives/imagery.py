"""The imagery stream's files: which holds which channel, and which image belongs to which time.

Images are paired with the wanted times, those of the fields, by date, as each product's times mean
it: a GridSat-B1 image of the very time; for the others see `psl.pair`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slams.archives import gridded, gridsat, inventory, psl
from slams.archives.netcdf import opened
from slams.channels import CHANNELS, GRIDSAT
from slams.errors import ArchiveError
from slams.grid import Grid
from slams.spread import spread

STORED = gridsat.STORED | psl.STORED
BLOCK = 32  # times of a file read at once

Times = NDArray[np.datetime64]


def held(path: Path) -> set[str]:
    """The channels that a file holds, told by its variables.

    Raises ArchiveError where it is damaged or holds none.
    """
    with opened(path, decode_times=False) as dataset:
        there = set(map(str, dataset.data_vars))
    found = {
        name for name, stored in STORED.items() if there & {stored.variable, CHANNELS[name].field}
    }
    if not found:
        known = [
            names for name in STORED for names in (STORED[name].variable, CHANNELS[name].field)
        ]
        raise ArchiveError(
            f"{path} holds none of {', '.join(dict.fromkeys(known))} but {sorted(there)}; it is no "
            "file of a channel: take it out of archives.imagery.paths."
        )
    return found


def images(path: Path, channel: str, wanted: Times) -> Iterator[xr.DataArray]:
    """A file's images of a channel at those ``wanted`` times (UTC, in order) that it has.

    Yields (time, latitude, longitude) as the channel's reader gives it, some times at once, with
    the wanted times as ``time``. Raises ArchiveError as the reader does.
    """
    begin, end = 0, 1
    while begin < end:
        part = np.arange(0)

        def choose(labels: Times, begin: int = begin) -> NDArray[np.intp]:
            nonlocal part, end
            places, found = _pair(channel, labels, wanted)
            part, end = found[begin : begin + BLOCK], len(found)
            return places[begin : begin + BLOCK]

        field = _read(path, channel, choose)
        if len(part):
            yield field.assign_coords(time=("time", wanted[part], field["time"].attrs))
        begin += BLOCK


def _read(path: Path, channel: str, choose: gridded.Choose) -> xr.DataArray:
    if channel in GRIDSAT:
        return gridded.read(path, CHANNELS[channel], STORED[channel], choose)
    return psl.open(path, channel, choose)


def _pair(channel: str, labels: Times, wanted: Times) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """As `psl.pair`, for every channel."""
    if channel not in GRIDSAT:
        return psl.pair(channel, labels, wanted)
    _, of_labels, of_wanted = np.intersect1d(labels, wanted, return_indices=True)
    return of_labels, of_wanted


def take(
    paths: Sequence[Path], *, channels: Sequence[str], year: int, wanted: Sequence[datetime]
) -> dict[str, Any]:
    """The inventory of a year: for each channel its files and the wanted times it misses.

    Every file is read at the wanted times and hashed. Returns archive, year, files (each once, as
    `inventory.hashes` takes them) and channels: {name: {"files", "missing_times"}}.

    Raises ArchiveError where a file is damaged or holds none of the channels, where a channel has
    no file, and where two files of a channel have the same wanted time.
    """
    times = _times(wanted, year)
    holders: dict[str, list[Path]] = {name: [] for name in channels}
    for path in paths:
        found = held(path)
        if not found & set(channels):
            raise ArchiveError(
                f"{path} holds {', '.join(sorted(found))}, which archives.imagery.channels does "
                "not name: add the channel, or take the file out of archives.imagery.paths."
            )
        for name in found & set(channels):
            holders[name].append(path)
    taken: dict[str, dict[str, Any]] = {}
    for name, holding in holders.items():
        if paths and not holding:
            raise ArchiveError(
                f"archives.imagery: no file of {year} holds the channel {name}; add its files, or "
                "take it out of archives.imagery.channels"
            )
        found_year = inventory.take(
            holding,
            partial(_inspect, channel=name, wanted=times),
            archive="imagery",
            year=year,
            wanted=wanted,
            complete=False,
        )
        taken[name] = {key: found_year[key] for key in ("files", "missing_times")}
    unique = {file["path"]: file for name in taken for file in taken[name]["files"]}
    return {
        "archive": "imagery",
        "year": year,
        "files": [
            {key: file[key] for key in ("path", "bytes", "sha256")} for file in unique.values()
        ],
        "channels": taken,
    }


def _inspect(path: Path, channel: str, wanted: Times) -> dict[str, Any]:
    return gridded.facts(path, images(path, channel, wanted))


def available(
    taken: Mapping[str, Any], channels: Sequence[str], wanted: Iterable[datetime]
) -> Times:
    """The ``wanted`` times at which any of the channels of an inventory (see `take`) has an image.

    In order. Raises ArchiveError where a channel has none, or is not in the inventory.
    """
    asked, year = _times(wanted, taken["year"]), taken["year"]
    found = asked[:0]
    for channel in channels:
        if channel not in taken["channels"]:
            raise ArchiveError(
                f"the inventory of imagery of {year} has no channel {channel}: ingest it again"
            )
        held = np.intersect1d(asked, _held_times(taken["channels"][channel]["files"]))
        if not held.size:
            raise ArchiveError(
                f"inventory imagery-{year}.json: none of its files holds a time that the periods "
                f"ask of {year} in the channel {channel}; add files of those times, or change the "
                "periods"
            )
        found = np.union1d(found, held)
    return found


def regrid(
    taken: Mapping[str, Any], channels: Sequence[str], grid: Grid, times: Times
) -> Iterator[xr.Dataset]:
    """All channels of an inventory (see `take`) at some ``times`` on the cells of ``grid``.

    Yields data sets (time, latitude, longitude) with a variable a channel, some times each, in
    order; a channel without an image at a time is NaN there.
    """
    cells = {channel: inventory.Cells(grid) for channel in channels}
    blocks = (times[first : first + BLOCK] for first in range(0, len(times), BLOCK))
    wanted = ((block, _holding(taken, channels, block)) for block in blocks)
    yield from spread(partial(_dataset, cells, grid), wanted)


def _holding(
    taken: Mapping[str, Any], channels: Sequence[str], times: Times
) -> dict[str, list[Mapping[str, Any]]]:
    """The files of every channel that hold any of the times."""
    return {
        channel: [
            file
            for file in taken["channels"][channel]["files"]
            if np.isin(_held_times([file]), times).any()
        ]
        for channel in channels
    }


def _dataset(
    cells: Mapping[str, inventory.Cells],
    grid: Grid,
    wanted: tuple[Times, Mapping[str, list[Mapping[str, Any]]]],
) -> xr.Dataset:
    """All channels at the times of a block, from the files that hold them."""
    block, files = wanted
    fields = {
        CHANNELS[channel].field: _block(files[channel], channel, cells[channel], block)
        for channel in files
    }
    return xr.Dataset(fields, {"time": block, **grid.coordinates()})


def _block(
    files: Iterable[Mapping[str, Any]], channel: str, cells: inventory.Cells, times: Times
) -> xr.Variable:
    """A channel's images at some times, on the cells."""
    values = np.full((len(times), *cells.grid.shape), np.nan, np.float32)
    for file in files:
        for piece in images(Path(file["path"]), channel, times):
            values[np.searchsorted(times, piece["time"].values)] = cells(piece).values
    return xr.Variable(("time", "latitude", "longitude"), values, CHANNELS[channel].attributes)


def _held_times(files: Iterable[Mapping[str, Any]]) -> Times:
    return np.array([time for file in files for time in file["times"]], dtype="datetime64[ns]")


def _times(wanted: Iterable[datetime], year: int) -> Times:
    return np.array(sorted(t for t in wanted if t.year == year), dtype="datetime64[ns]")
