"""Air temperature at weather stations, from NOAA's Integrated Surface Database.

Smith, Lott and Vose 2011, Bull. Amer. Meteor. Soc. 92, 704; columns, quality codes and report
types after NOAA's Federal Climate Complex Data Documentation for ISD. NOAA updated ISD until the
end of August 2025; `ghcnh` is its successor.

What is kept of a file's rows and how the others are counted: `slams.archives.report_rules`.
"""

from pathlib import Path

import pandas as pd

from slams.archives import station_files
from slams.archives.reports import COLUMNS
from slams.archives.station_lists import read_history, reporting

__all__ = ["COLUMNS", "read", "read_history", "reporting"]


def read(
    path: Path | str, stations: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Observations of one file in any of the three ISD formats, plain or gzip.

    stations: the table of `read_history`; ISD-Lite needs it for the positions, for the other
    formats it fills what a row lacks.
    Returns the rows kept, in the file's order, and the count of the others by reason; together
    they are all rows of the file. Columns: station_id (USAF and WBAN, 11 characters), time
    (datetime64[ns], UTC), latitude, longitude (degrees, 0..360), elevation (m), air_temperature
    (K), quality (ISD's code, "" for ISD-Lite), report_type ("" for ISD-Lite); text as categories.

    Raises ArchiveError naming the file, and the line, when it is empty, truncated, damaged or of
    another product, and when ISD-Lite is read without stations.
    """
    return station_files.read(path, stations, station_files.ISD)
