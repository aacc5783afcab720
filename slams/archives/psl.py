"""Gridded products of NOAA's Physical Sciences Laboratory: outgoing radiation and precipitation.

- olr: NOAA interpolated outgoing longwave radiation, 2.5 degrees, twice daily 1979-2022, one file
  (Liebmann and Smith 1996, Bull. Amer. Meteor. Soc. 77, 1275). A time is nominal: the satellite
  passes everywhere at about the same local time.
- precipitation: CPC global unified gauge-based analysis, 0.5 degrees, over land, daily totals from
  1979, a file a year (Chen et al. 2008, J. Geophys. Res. 113, D04110). A time is the beginning of
  the day that it is the total of. The day is taken as that of UTC; by CPC's own account it ends at
  another hour from country to country.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slams.archives import fetch as transfer
from slams.archives import gridded
from slams.archives.psl_files import OLR_FILE
from slams.channels import CHANNELS, OLR, PRECIPITATION
from slams.errors import ArchiveError

# Two ways to the same files.
BASE_URLS = (
    "https://downloads.psl.noaa.gov/Datasets",
    "https://psl.noaa.gov/thredds/fileServer/Datasets",
)
FOLDERS = {OLR.name: "interp_OLR", PRECIPITATION.name: "cpc_global_precip"}
STORED = {
    # Packed (int16, missing 32766) until 2020, floating since: a file says which.
    OLR.name: gridded.Stored("NOAA interpolated OLR", "olr"),
    PRECIPITATION.name: gridded.Stored(
        "CPC unified precipitation", "precip", frozenset({"mm", "mm/day", "mm day-1", "mm d-1"})
    ),
}
DAY = np.timedelta64(24, "h")
NEAR = np.timedelta64(6, "h")  # half the time between two passes
BLOCK = 32  # times read at once

Times = NDArray[np.datetime64]


def open(path: Path, channel: str, choose: gridded.Choose | None = None) -> xr.DataArray:
    """A file's outgoing_longwave_radiation (W m-2) or precipitation (mm, of a day).

    path: a file of the product, or one that holds a variable of the name returned, decoded.
    channel: olr or precipitation. choose: which times to read, see `gridded.read`.

    Returns (time, latitude, longitude), float32, NaN where missing, such as precipitation at sea;
    latitude north first, longitude 0..360 ascending, time as the product gives it.

    Raises ArchiveError when the file is damaged or of another product, and of daily means where
    passes are asked for.
    """

    def checked(labels: Times) -> NDArray[np.intp]:
        if channel == OLR.name and len(labels) > 1 and np.median(np.diff(labels)) >= DAY:
            raise ArchiveError(
                f"{path} holds one time a day: means, which are of no one time. Give the twice "
                f"daily file, {OLR_FILE}."
            )
        return np.arange(len(labels)) if choose is None else choose(labels)

    return gridded.read(path, CHANNELS[channel], STORED[channel], checked)


def inspect(path: Path, channel: str) -> dict[str, Any]:
    """Read a file once in full, some times at once, and say what it holds, ready for JSON.

    Returns what `gridded.facts` gives. Raises ArchiveError as `open` does.
    """
    count = 0

    def counted(labels: Times) -> NDArray[np.intp]:
        nonlocal count
        count = len(labels)
        return np.arange(0)

    open(path, channel, counted)

    def block(first: int) -> xr.DataArray:
        return open(path, channel, lambda _: np.arange(first, min(first + BLOCK, count)))

    return gridded.facts(path, map(block, range(0, count, BLOCK)))


def pair(channel: str, labels: Times, wanted: Times) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which of a file's times belongs to which of the ``wanted`` (UTC); both in order.

    Of olr it is the pass nearest in time, within six hours; of two as near the earlier. Of
    precipitation it is the last day that has ended: at 00 UTC the day before, and at later hours
    of a day still that one, so that none falls after the time it is paired with.

    Returns indices into ``labels``, and of the wanted times that have one; of equal length.
    """
    if not len(labels):
        return np.arange(0), np.arange(0)
    if channel == PRECIPITATION.name:
        sought = wanted.astype("datetime64[D]").astype(labels.dtype) - DAY
        place = np.searchsorted(labels, sought).clip(max=len(labels) - 1)
        found = np.flatnonzero(labels[place] == sought)
        return place[found], found
    after = np.searchsorted(labels, wanted).clip(max=len(labels) - 1)
    before = (after - 1).clip(min=0)
    earlier = np.abs(wanted - labels[before]) <= np.abs(labels[after] - wanted)
    place = np.where(earlier, before, after)
    late = wanted - labels[place]
    # Half open, so that two files that follow one another never both have a time.
    found = np.flatnonzero((late <= NEAR) & (late > -NEAR))
    return place[found], found


def fetch(
    file: str,
    folder: Path,
    channel: str,
    *,
    base_urls: Sequence[str] = BASE_URLS,
    attempts: int = 5,
    first_wait: float = 1.0,
) -> Path:
    """Fetch the file called ``file`` (see `psl_files`) into ``folder``; return its path.

    A file that is there is not asked for again, even where it is of a year that goes on. Raises
    ArchiveError as fetch.download does.
    """
    addresses = [f"{base}/{FOLDERS[channel]}/{file}" for base in base_urls]
    return transfer.download(
        addresses, Path(folder) / file, attempts=attempts, first_wait=first_wait
    )
