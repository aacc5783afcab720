"""Inventories of raw files, and the regridding of what they list to common cells.

Ingesting opens every raw file of a year once and in full, so that a truncated file or one of
another product is named before any long work; the inventory says what was found, with hashes.
Regridding goes through the listed files a piece at a time: no file need fit into memory.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slams.errors import ArchiveError
from slams.grid import Grid, Regridder
from slams.provenance import atomic
from slams.spread import SCHEDULER, spread

Inspect = Callable[[Path], dict[str, Any]]


def files(raw: Sequence[str | Path], year: int, pattern: str) -> list[Path]:
    """The raw files behind a rule's inputs, sorted.

    An input is a file, a folder in the providers' layout (``{year}/pattern`` or, for stations,
    ``{format}/{year}/pattern``), or a manifest (.json) that lists files.
    """
    found: list[Path] = []
    for path in map(Path, raw):
        if path.is_dir():
            found += [*path.glob(f"{year}/{pattern}"), *path.glob(f"*/{year}/{pattern}")]
        elif path.suffix == ".json":
            found += [Path(name) for name in json.loads(path.read_text())["files"]]
        else:
            found.append(path)
    # What a killed job or download left half written.
    return sorted({path for path in found if not _unfinished(path)})


def _unfinished(path: Path) -> bool:
    return path.name.startswith(".") or path.suffix in (".part", ".part-tag")


def take(
    paths: Sequence[Path],
    inspect: Inspect,
    *,
    archive: str,
    year: int,
    wanted: Sequence[datetime],
    complete: bool,
) -> dict[str, Any]:
    """The inventory of an archive's year: files, and which of the ``wanted`` times are missing.

    Raises ArchiveError where there is no file at all, or, with ``complete``, where a wanted time
    is in none of them; and where two files hold the same wanted time.
    """
    if not paths:
        raise ArchiveError(
            f"archives.{archive}: no raw file for {year}; fetch it, or mend "
            f"archives.{archive}.paths"
        )
    here = [time for time in wanted if time.year == year]
    asked = {np.datetime64(time, "s") for time in here}
    inspected = list(spread(inspect, [Path(path) for path in paths]))
    found: dict[np.datetime64, str] = {}
    for file in inspected:
        for moment in asked.intersection(np.datetime64(time, "s") for time in file["times"]):
            if moment in found:
                raise ArchiveError(
                    f"{found[moment]} and {file['path']} both hold "
                    f"{np.datetime_as_string(moment, 'h')}; give one of them to "
                    f"archives.{archive}.paths"
                )
            found[moment] = file["path"]
    missing = [time for time in here if np.datetime64(time, "s") not in found]
    if complete and missing:
        shown = ", ".join(time.isoformat(timespec="hours") for time in missing[:5])
        raise ArchiveError(
            f"archives.{archive}: {len(missing)} of the {len(here)} times that the periods ask of "
            f"{year} are in no raw file ({shown}{' ...' if len(missing) > 5 else ''}); add the "
            "files or change the periods"
        )
    return {
        "archive": archive,
        "year": year,
        "files": inspected,
        "missing_times": [time.isoformat() for time in missing],
    }


def available(inventory: Path, wanted: Sequence[datetime]) -> NDArray[np.datetime64]:
    """The ``wanted`` times of an inventory's year that its files hold, in order.

    Raises ArchiveError where they hold none of them.
    """
    listed = json.loads(Path(inventory).read_text())
    year = listed["year"]
    asked = np.array([time for time in wanted if time.year == year], dtype="datetime64[ns]")
    held = [np.array(file["times"], dtype="datetime64[ns]") for file in listed["files"]]
    found: NDArray[np.datetime64] = np.intersect1d(asked, np.concatenate([*held, asked[:0]]))
    if not found.size:
        raise ArchiveError(
            f"inventory {inventory}: none of its files holds a time that the periods ask of "
            f"{year}; add files of those times, or change the periods"
        )
    return found


def regrid(
    inventory: Path,
    open_pieces: Callable[[Path], Iterable[xr.DataArray]],
    grid: Grid,
    times: NDArray[np.datetime64],
) -> Iterator[xr.DataArray]:
    """The fields of an inventory's files at some ``times``, on the cells of ``grid``.

    ``open_pieces`` gives a file's fields (time, ..., latitude, longitude), a piece at a time.
    Yields them piece by piece in the inventory's order, with the same dimensions. A worker of a
    dask cluster (`slams.spread`) holds the regridded fields of one file.
    """
    listed = json.loads(Path(inventory).read_text())["files"]
    needed = [
        Path(file["path"])
        for file in listed
        if np.isin(np.array(file["times"], dtype="datetime64[ns]"), times).any()
    ]
    regrid_file: Callable[[Path], Iterable[xr.DataArray]]
    regrid_file = partial(_regrid_file, open_pieces, Cells(grid), times)
    if os.environ.get(SCHEDULER):  # a generator cannot be sent back
        regrid_file = partial(_whole, regrid_file)
    for fields in spread(regrid_file, needed):
        yield from fields


def _regrid_file(
    open_pieces: Callable[[Path], Iterable[xr.DataArray]],
    cells: "Cells",
    times: NDArray[np.datetime64],
    path: Path,
) -> Iterator[xr.DataArray]:
    for piece in open_pieces(path):
        field = piece.isel(time=np.isin(piece["time"].values, times))
        if field.sizes["time"]:
            yield cells(field)


def _whole(regrid_file: Callable[[Path], Iterable[xr.DataArray]], path: Path) -> list[xr.DataArray]:
    return list(regrid_file(path))


class Cells:
    """Fields (..., latitude, longitude) to the cells of ``grid``, one after another.

    The weights are made once for fields that follow one another on the same axes.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._known: tuple[bytes, Regridder] | None = None

    def __call__(self, field: xr.DataArray) -> xr.DataArray:
        """The field's means over the cells, with its other dimensions, name and attributes."""
        axes = field["latitude"].values, field["longitude"].values
        key = axes[0].tobytes() + axes[1].tobytes()
        if self._known is None or self._known[0] != key:
            self._known = (key, Regridder(*axes, self.grid))
        dims = [dim for dim in field.dims if dim not in ("latitude", "longitude")]
        return xr.DataArray(
            self._known[1](field.values),
            dims=(*dims, "latitude", "longitude"),
            coords={**{d: field[d] for d in dims}, **self.grid.coordinates()},
            name=field.name,
            attrs=field.attrs,
        )


def check_levels(inventory: dict[str, Any], levels: Sequence[float], members: str) -> None:
    """Raise ArchiveError where a file lacks a level or holds an ensemble that was not asked for.

    ``levels`` in hPa; ``members`` is the key archives.era5.members, single or stack.
    """
    for file in inventory["files"]:
        lacking = sorted(set(map(float, levels)) - set(map(float, file["levels"])))
        if lacking:
            raise ArchiveError(
                f"{file['path']} lacks the levels {', '.join(f'{x:g}' for x in lacking)} hPa that "
                "the key levels asks for; fetch them or change the key"
            )
        if file["members"] > 1 and members == "single":
            raise ArchiveError(
                f"{file['path']} holds an ensemble of {file['members']} members; set "
                "archives.era5.members: stack to take each as a field of its own"
            )


def hashes(inventory: dict[str, Any]) -> str:
    """The files of an inventory as `provenance.attributes` names inputs, without reading them."""
    return json.dumps({file["path"]: file["sha256"][:16] for file in inventory["files"]})


def write(content: dict[str, Any], target: Path | str) -> None:
    """Write an inventory or manifest as JSON, whole or not at all."""
    with atomic(target) as path:
        path.write_text(json.dumps(content, indent=1) + "\n")
