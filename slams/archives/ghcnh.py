"""Air temperature at weather stations, from NOAA's Global Historical Climatology Network hourly.

GHCNh (doi:10.25921/jp3d-3v19) took the place of ISD in August 2025 and holds the years before as
well; the same station has another id there. A file holds a station's year, a row a time; every
variable has its own quality code, report type and source.

What is kept of a file's rows and how the others are counted: `slams.archives.report_rules`; what
the codes mean: `slams.archives.ghcnh_codes`.
"""

from pathlib import Path

import pandas as pd

from slams.archives import station_files
from slams.archives.station_lists import read_ghcnh as read_stations
from slams.archives.station_lists import reporting_ghcnh as reporting

__all__ = ["read", "read_stations", "reporting"]


def read(
    path: Path | str, stations: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Observations of one GHCNh file: psv, plain or gzip, or Parquet.

    stations: the table of `read_stations`; it fills positions and elevations that a row lacks.
    Returns the rows kept, in the file's order, and the count of the others by reason; together
    they are all rows of the file. Columns as `isd.read` gives them, station_id GHCNh's own,
    quality and report_type those of the temperature.

    Raises ArchiveError naming the file, and the line, when it is empty, truncated, damaged or of
    another product.
    """
    return station_files.read(path, stations, station_files.GHCNH)
