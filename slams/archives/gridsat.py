"""GridSat-B1: 3-hourly infrared brightness temperature from the geostationary satellites.

Knapp et al. 2011, Bull. Amer. Meteor. Soc. 92, 893; NOAA climate data record v02r01. The window
channel near 11 um (`irwin_cdr`) is of climate quality; the water vapour channel near 6.7 um
(`irwvp`) is neither that nor corrected for the view angle.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from slams.archives import fetch as transfer
from slams.archives import gridded
from slams.channels import CHANNELS, GRIDSAT, WINDOW
from slams.errors import ArchiveError

# The public bucket, then the provider's own copy of the same files.
BASE_URLS = (
    "https://noaa-cdr-gridsat-b1-pds.s3.amazonaws.com/data",
    "https://www.ncei.noaa.gov/data/geostationary-ir-channel-brightness-temperature-gridsat-b1/access",
)
TYPICAL_SIZE = 40_000_000  # bytes
STEP = "3h"
STORED = {
    name: gridded.Stored("GridSat-B1", name, scale=0.01, offset=200.0, fill=-31999)
    for name in GRIDSAT
}


def open(path: Path, channel: str = WINDOW.name) -> xr.DataArray:
    """Brightness temperature of a file.

    path: a GridSat-B1 file (variable ``channel``, packed or already in K), or a file with
    `brightness_temperature(time, latitude, longitude)` in K (of the channel irwvp,
    `water_vapour_brightness_temperature`). channel: irwin_cdr or irwvp.

    Returns the latter variable (time, latitude, longitude), float32, K, NaN where nothing was
    seen; latitude north first, longitude 0..360 ascending, time datetime64[ns].

    Raises ArchiveError when the file is damaged or of another product.
    """
    return gridded.read(path, CHANNELS[channel], STORED[channel])


def inspect(path: Path, channel: str = WINDOW.name) -> dict[str, Any]:
    """Read a file once in full and say what it holds, ready for JSON.

    Returns what `gridded.facts` gives. Raises ArchiveError as `open` does.
    """
    return gridded.facts(path, [open(path, channel)])


def name(time: Any) -> str:
    """The provider's name of the file of one time, `GRIDSAT-B1.YYYY.MM.DD.HH.v02r01.nc`.

    time: UTC, anything that pandas takes as a time. Raises ArchiveError when the product has
    no such time.
    """
    moment = pd.Timestamp(time)
    if moment != moment.floor(STEP):
        raise ArchiveError(f"{time} is no time of GridSat-B1; ask for 00, 03, ... 21 UTC.")
    return moment.strftime("GRIDSAT-B1.%Y.%m.%d.%H.v02r01.nc")


def fetch(
    times: Iterable[Any],
    folder: Path,
    base_url: str | Sequence[str] = BASE_URLS,
    *,
    mirrors: Sequence[str] = (),
    attempts: int = 5,
    first_wait: float = 1.0,
) -> list[Path]:
    """Fetch the files of some times (UTC) into `folder/YYYY/`; return those that exist.

    base_url: one or several base addresses that hold `YYYY/GRIDSAT-B1...nc`; the provider's.
    mirrors: others, tried before them. Files already there are not asked for again. Files that no
    address has are recorded in `folder/missing-YYYY.json` (see also `manifest`). Imagery has gaps,
    so they are no error unless a year has nothing.

    Raises ArchiveError for a time that is not 3-hourly, and as fetch.download_all does.
    """
    own = [base_url] if isinstance(base_url, str) else base_url
    addresses = [base.rstrip("/") for base in (*mirrors, *own)]
    years: dict[str, list[str]] = {}
    for time in times:
        file = name(time)
        years.setdefault(file.split(".")[1], []).append(file)
    fetched: list[Path] = []
    for year, files in sorted(years.items()):
        target = Path(folder) / year
        jobs = [([f"{base}/{year}/{file}" for base in addresses], target / file) for file in files]
        fetched += transfer.download_all(
            jobs,
            target.with_name(f"missing-{year}.json"),
            attempts=attempts,
            first_wait=first_wait,
            typical_size=TYPICAL_SIZE,
        )
    return fetched


def manifest(fetched: Sequence[Path], times: Iterable[Any]) -> dict[str, Any]:
    """What was fetched for some times (UTC), and by time what was not, ready for JSON.

    {"files": [path, ...], "missing": [{"time", "file", "reason"}, ...]}.
    """
    there = {path.name for path in fetched}
    missing = [
        {
            "time": pd.Timestamp(time).isoformat(),
            "file": name(time),
            "reason": "no address has the file",
        }
        for time in times
        if name(time) not in there
    ]
    return {"files": list(map(str, fetched)), "missing": missing}
