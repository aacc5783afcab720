"""Inventories of raw files, and the regridding of what they list to common cells.

Ingesting opens every raw file of a year once and in full, so that a truncated file or one of
another product is named before any long work; the inventory says what was found, with hashes.
Regridding reads the listed files one at a time: a year is never in memory at the raw resolution.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from slams.errors import ArchiveError
from slams.grid import Grid, Regridder
from slams.provenance import atomic

Inspect = Callable[[Path], dict[str, Any]]
Open = Callable[[Path], xr.DataArray]


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
    # A name that begins with a dot is what a killed job left half written.
    return sorted({path for path in found if not path.name.startswith(".")})


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
    inspected = [inspect(Path(path)) for path in paths]
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


def regrid(
    inventory: Path,
    open_file: Open,
    grid: Grid,
    *,
    wanted: Sequence[datetime],
) -> xr.DataArray:
    """The fields of an inventory's year at the ``wanted`` times, on the cells of ``grid``.

    ``open_file`` gives a file's field (time, ..., latitude, longitude). Returns the same
    dimensions in order of time. Raises ArchiveError where no file holds a wanted time.
    """
    listed = json.loads(Path(inventory).read_text())
    year = listed["year"]
    keep = np.array([time for time in wanted if time.year == year], dtype="datetime64[ns]")
    fields = (open_file(Path(file["path"])) for file in listed["files"])
    found = onto((field.isel(time=np.isin(field["time"].values, keep)) for field in fields), grid)
    if found is None:
        raise ArchiveError(
            f"inventory {inventory}: none of its files holds a time that the periods ask of "
            f"{year}; add files of those times, or change the periods"
        )
    return found


def onto(fields: Iterable[xr.DataArray], grid: Grid) -> xr.DataArray | None:
    """Fields (time, ..., latitude, longitude), one after another, on the cells of ``grid``.

    Returns the same dimensions in order of time; None where no field has a time.
    """
    pieces: list[xr.DataArray] = []
    regridder: tuple[bytes, Regridder] | None = None
    for field in fields:
        if field.sizes["time"] == 0:
            continue
        axes = field["latitude"].values, field["longitude"].values
        key = axes[0].tobytes() + axes[1].tobytes()
        if regridder is None or regridder[0] != key:
            regridder = (key, Regridder(*axes, grid))
        dims = [dim for dim in field.dims if dim not in ("latitude", "longitude")]
        pieces.append(
            xr.DataArray(
                regridder[1](field.values),
                dims=(*dims, "latitude", "longitude"),
                coords={**{d: field[d] for d in dims}, **grid.coordinates()},
                name=field.name,
                attrs=field.attrs,
            )
        )
    return xr.concat(pieces, dim="time").sortby("time") if pieces else None


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
