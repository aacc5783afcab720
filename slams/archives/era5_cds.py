"""ERA5 from the Climate Data Store, a month at a time; one that is too large in pieces."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slams.archives import cds, era5
from slams.archives.era5_join import join
from slams.archives.era5_month import Wanted, whole_month
from slams.archives.turns import turn
from slams.errors import ArchiveError

DATASET = "reanalysis-era5-pressure-levels"
SURFACE_DATASET = "reanalysis-era5-single-levels"

log = logging.getLogger(__name__)


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
    client: Any | None = None,
) -> Path:
    """Fetch one month into `target`, unless it is there whole; return its path.

    levels: hPa. hours: UTC, 0 to 23. spacing: degrees between the points. area: north, west,
    south, east in degrees, None for the globe. client: a `cdsapi.Client`; None makes one with
    the user's key.

    The file appears under its name only when it has been read through and holds every hour of
    the month and every level, at such points. A month that exceeds the store's limits is asked
    for in halves, and they in halves, down to a level of a day; pieces that are whole are kept
    in `<target>.pieces` until they have become the month's one file, and are not asked for again.

    Raises SlamsError when there is no key and ArchiveError when the store refuses or delivers
    something else (see `cds.retrieve`).
    """
    target = Path(target)
    wanted = whole_month(year, month, levels=levels, hours=hours, spacing=spacing, area=area)
    if target.exists() and wanted.lacks(target) is None:
        return target
    store = cds.client() if client is None else client
    with turn(target):
        if not (target.exists() and wanted.lacks(target) is None):
            _fetch(wanted, target, dataset, product_type, store)
    return target


def _fetch(wanted: Wanted, target: Path, dataset: str, product_type: str, store: Any) -> None:
    folder = target.with_name(target.name + ".pieces")
    files = _gather(wanted, target, folder, dataset, product_type, store)
    if files != [target]:
        joined = folder / target.name
        note = f"{dataset}, asked for in {len(files)} requests and joined by SLAMS"
        join(files, joined, wanted.lacks, {"source": note})
        joined.replace(target)
    if folder.is_dir():
        shutil.rmtree(folder)


def _gather(
    wanted: Wanted, file: Path, folder: Path, dataset: str, product_type: str, store: Any
) -> list[Path]:
    """Fetch what is wanted into `file` or, where that is too large, in pieces into `folder`."""
    if file.parent == folder and file.exists() and wanted.lacks(file) is None:
        return [file]
    try:
        cds.retrieve(dataset, wanted.request(product_type), file, store, wanted.lacks)
    except cds.TooLarge as error:
        halves = wanted.halves()
        if not halves:
            raise ArchiveError(
                f"{error} This was one level of one day: ask for fewer hours (time.hours), a "
                "wider spacing or a smaller area (archives.era5)."
            ) from None
        log.info("%s: too large for one request, asking for halves", file)
        return [
            piece
            for half in halves
            for piece in _gather(
                half, folder / f"{half.name}.nc", folder, dataset, product_type, store
            )
        ]
    return [file]


def fetch_land_mask(target: Path | str, *, spacing: float, client: Any | None = None) -> Path:
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
    with turn(target):
        if not (target.exists() and _not_a_mask(target) is None):
            cds.retrieve(SURFACE_DATASET, asked, target, store, _not_a_mask)
    return target


def _not_a_mask(path: Path) -> str | None:
    """Why a file is no land-sea mask; None when it is one."""
    try:
        era5.open_land_mask(path)
    except ArchiveError as error:
        return str(error)
    return None
