"""Which files of NOAA's Physical Sciences Laboratory hold the images of some times.

Apart from :mod:`slams.archives.psl`, so that rules can name them without loading its readers.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from slams.errors import ArchiveError

OLR_YEARS = (1979, 2022)
OLR_FILE = f"olr.2xdaily.{OLR_YEARS[0]}-{OLR_YEARS[1]}.nc"
FIRST_PRECIPITATION_YEAR = 1979


def olr_files(times: Iterable[datetime]) -> list[str]:
    """The provider's names of the files of outgoing longwave radiation at some times (UTC).

    Raises ArchiveError where the product has no such year.
    """
    years = {time.year for time in times}
    beyond = sorted(year for year in years if not OLR_YEARS[0] <= year <= OLR_YEARS[1])
    if beyond:
        raise ArchiveError(
            f"{OLR_FILE} has no {beyond[0]}; leave olr out of archives.imagery.channels, or change "
            "the periods."
        )
    return [OLR_FILE] if years else []


def precipitation_files(times: Iterable[datetime]) -> list[str]:
    """Likewise of precipitation: a time takes the day before, so 1 January the year before's file.

    Raises ArchiveError where the product has no such year.
    """
    years = sorted({(time - timedelta(days=1)).year for time in times})
    if years and years[0] < FIRST_PRECIPITATION_YEAR:
        raise ArchiveError(
            f"CPC's precipitation begins with {FIRST_PRECIPITATION_YEAR}, and a time takes the day "
            f"before: there is none of {years[0]}; change the periods."
        )
    return [f"precip.{year}.nc" for year in years]
