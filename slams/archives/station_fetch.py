"""Fetching station files: where the providers and their mirrors keep them.

A mirror is a base address below which the provider's own paths hold.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slams.archives import fetch
from slams.archives.station_lists import read_ghcnh, read_history, reporting_ghcnh
from slams.archives.turns import turn
from slams.errors import ArchiveError

NCEI = "https://www.ncei.noaa.gov/pub/data/noaa"
GHCNH_BASES = (
    "https://www.ncei.noaa.gov/oa/global-historical-climatology-network/hourly",
    "https://noaa-ghcnh-pds.s3.amazonaws.com/hourly",
)


@dataclass(frozen=True)
class Product:
    """Base addresses of the provider, the path of a file below them, and a file's usual size."""

    bases: tuple[str, ...]
    path: str
    size: int  # bytes


PRODUCTS = {
    "isd-lite": Product((NCEI,), "isd-lite/{year}/{usaf}-{wban}-{year}.gz", 60_000),
    "isd": Product((NCEI,), "{year}/{usaf}-{wban}-{year}.gz", 300_000),
    "global-hourly": Product(
        (
            "https://noaa-global-hourly-pds.s3.amazonaws.com",
            "https://www.ncei.noaa.gov/data/global-hourly/access",
        ),
        "{year}/{station}.csv",
        3_000_000,
    ),
    "ghcnh": Product(
        GHCNH_BASES, "access/by-year/{year}/psv/GHCNh_{station}_{year}.psv", 4_000_000
    ),
}
HISTORY = "isd-history.csv"
GHCNH_LIST = "doc/ghcnh-station-list.csv"
GHCNH_INVENTORY = "doc/ghcnh-inventory.txt"


def fetch_history(target: Path | str, mirrors: Sequence[str] = ()) -> Path:
    """Fetch ISD's station list to `target`, unless it is there; return its path.

    mirrors: base addresses, asked before NOAA's. Raises ArchiveError as fetch.download does, and
    when what came is not such a list.
    """
    return _fetch_list(HISTORY, (*mirrors, NCEI), Path(target), read_history)


def fetch_ghcnh_lists(
    stations: Path | str, inventory: Path | str, mirrors: Sequence[str] = ()
) -> tuple[Path, Path]:
    """Fetch GHCNh's station list and inventory of station years; return their paths.

    As `fetch_history`, for two files.
    """
    bases = (*mirrors, *GHCNH_BASES)
    return (
        _fetch_list(GHCNH_LIST, bases, Path(stations), read_ghcnh),
        _fetch_list(GHCNH_INVENTORY, bases, Path(inventory), lambda path: reporting_ghcnh(path, 0)),
    )


def fetch_year(
    year: int,
    stations: Iterable[str],
    folder: Path | str,
    product: str = "isd-lite",
    mirrors: Sequence[str] = (),
    *,
    until: datetime | None = None,
    attempts: int = 5,
    first_wait: float = 1.0,
) -> dict[str, Any]:
    """Fetch a year's files of some stations into `folder/{year}/`.

    stations: ids of the product's system, 11 characters. product: a key of PRODUCTS. mirrors:
    base addresses, asked before the provider's own. Files already there are not asked for again,
    but for those that were fetched before `until` (UTC), the last time wanted of the year.
    Returns the manifest: product, year, files (paths of those there are), missing (names of those
    that no address has).

    Raises ArchiveError for an unknown product, when there is no station or none has a file, and as
    fetch.download_all does.
    """
    if product not in PRODUCTS:
        raise ArchiveError(f"there is no product {product!r}; choose from {', '.join(PRODUCTS)}.")
    kept = PRODUCTS[product]
    folder = Path(folder)
    jobs: list[tuple[Sequence[str], Path]] = []
    for station in dict.fromkeys(stations):
        path = kept.path.format(year=year, station=station, usaf=station[:6], wban=station[6:])
        urls = [f"{base.rstrip('/')}/{path}" for base in (*mirrors, *kept.bases)]
        jobs.append((urls, folder / str(year) / Path(path).name))
    if not jobs:
        raise ArchiveError(
            f"the station list knows no station that reports in {year}; delete the list (below "
            f"{folder.parent}) and run again to fetch today's, or change archives.stations.years"
        )
    for _, target in jobs:
        if until is not None and _older(target, until):
            target.unlink()  # it was fetched while the year, or what is asked of it, went on
    files = fetch.download_all(
        jobs,
        folder / f"missing-{year}.json",
        attempts=attempts,
        first_wait=first_wait,
        typical_size=kept.size,
    )
    there = set(files)
    return {
        "product": product,
        "year": year,
        "files": [str(path) for path in files],
        "missing": sorted(path.name for _, path in jobs if path not in there),
    }


def _older(path: Path, moment: datetime) -> bool:
    """Whether a file is there and was made before a moment (UTC)."""
    if not path.exists():
        return False
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None) < moment


def _fetch_list(
    path: str, bases: Sequence[str], target: Path, check: Callable[[Path], object]
) -> Path:
    """Fetch a list under another name, and give it its own once it is one."""
    with turn(target):
        if target.exists():
            return target
        urls = [f"{base.rstrip('/')}/{path}" for base in bases]
        arrived = fetch.download(urls, target.with_name(f"fetched-{target.name}"))
        try:
            check(arrived)
        except ArchiveError:
            arrived.unlink()
            raise
        return arrived.replace(target)
