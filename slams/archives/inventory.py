"""Inventories of raw files, and the regridding of what they list to common cells.

Ingesting opens every raw file of a year once and in full, so that a truncated file or one of
another product is named before any long work; the inventory says what was found, with hashes.
Regridding goes through the listed files a piece at a time: no file need fit into memory.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
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
            found += _listed(path)
        else:
            found.append(path)
    # What a killed job or download left half written.
    return sorted({path for path in found if not _unfinished(path)})


def _listed(manifest: Path) -> list[Path]:
    """The files of a manifest. Raises ArchiveError where one is gone."""
    listed = [Path(name) for name in json.loads(manifest.read_text())["files"]]
    gone = [path for path in listed if not path.exists()]
    if gone:
        raise ArchiveError(
            f"{manifest} lists {gone[0]}, which is not there; delete {manifest} and run again to "
            "fetch what is missing."
        )
    return listed


def is_stale(manifest: Path, until: datetime, *, look: bool) -> bool:
    """Whether what a manifest, or a list of stations, tells has to be fetched again.

    Because it was made before ``until`` (UTC), the last time that is asked of it, so that it may
    lack what came later; or, where ``look`` asks to see, because a file that it lists is gone:
    deleted, as damaged.
    """
    if not manifest.exists():
        return False
    made = datetime.fromtimestamp(manifest.stat().st_mtime, UTC).replace(tzinfo=None)
    if made < until <= datetime.now(UTC).replace(tzinfo=None):
        return True
    if not look or manifest.suffix != ".json":
        return False
    return not all(Path(name).exists() for name in json.loads(manifest.read_text())["files"])


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

    A time that one file holds as final and another as preliminary (``preliminary_times`` of what
    ``inspect`` gives) is the former's alone.

    Raises ArchiveError where there is no file at all, or, with ``complete``, where a wanted time
    is in none of them; and where two files hold the same wanted time, both final or neither.
    """
    if not paths:
        raise ArchiveError(
            f"archives.{archive}: no raw file for {year}; fetch it, or mend "
            f"archives.{archive}.paths"
        )
    here = [time for time in wanted if time.year == year]
    asked = {np.datetime64(time, "s") for time in here}
    inspected = list(spread(inspect, [Path(path) for path in paths]))
    found: dict[np.datetime64, dict[str, Any]] = {}
    for file in inspected:
        for moment in sorted(
            asked.intersection(np.datetime64(time, "s") for time in file["times"])
        ):
            taken = found.setdefault(moment, file)
            if taken is not file:
                found[moment] = _final_of(taken, file, moment, archive)
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


def _final_of(
    one: dict[str, Any], other: dict[str, Any], moment: np.datetime64, archive: str
) -> dict[str, Any]:
    """Which of two files has a time as final; the other no longer has it at all."""
    text = np.datetime_as_string(moment, "s")
    late = [text in file.get("preliminary_times", []) for file in (one, other)]
    if late[0] == late[1]:
        raise ArchiveError(
            f"{one['path']} and {other['path']} both hold {np.datetime_as_string(moment, 'h')}; "
            f"give one of them to archives.{archive}.paths"
        )
    winner, loser = (other, one) if late[0] else (one, other)
    for name in ("times", "preliminary_times"):
        loser[name] = [time for time in loser.get(name, []) if time != text]
    return winner


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
    # A file may hold more than the inventory takes from it.
    needed = []
    for file in json.loads(Path(inventory).read_text())["files"]:
        wanted = np.intersect1d(np.array(file["times"], dtype="datetime64[ns]"), times)
        if wanted.size:
            needed.append((Path(file["path"]), wanted))
    regrid_file: Callable[[tuple[Path, NDArray[np.datetime64]]], Iterable[xr.DataArray]]
    regrid_file = partial(_regrid_file, open_pieces, Cells(grid))
    if os.environ.get(SCHEDULER):  # a generator cannot be sent back
        regrid_file = partial(_whole, regrid_file)
    for fields in spread(regrid_file, needed):
        yield from fields


def _regrid_file(
    open_pieces: Callable[[Path], Iterable[xr.DataArray]],
    cells: "Cells",
    wanted: tuple[Path, NDArray[np.datetime64]],
) -> Iterator[xr.DataArray]:
    path, times = wanted
    for piece in open_pieces(path):
        field = piece.isel(time=np.isin(piece["time"].values, times))
        if field.sizes["time"]:
            yield cells(field)


def _whole(
    regrid_file: Callable[[tuple[Path, NDArray[np.datetime64]]], Iterable[xr.DataArray]],
    wanted: tuple[Path, NDArray[np.datetime64]],
) -> list[xr.DataArray]:
    return list(regrid_file(wanted))


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
