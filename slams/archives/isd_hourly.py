"""The global-hourly CSV files: ISD's full format as a table, a file a station and year.

TMP is "+0123,1": tenths of a degree Celsius and a quality code; "+9999,9" is missing. The columns
after the first few differ from file to file.
"""

import re
from pathlib import Path

import numpy as np

from slams.archives import isd_codes, station_columns
from slams.archives.reports import Reports, reports
from slams.archives.station_columns import decimal, labels, understood
from slams.errors import ArchiveError

WANTED = ("STATION", "DATE", "LATITUDE", "LONGITUDE", "ELEVATION", "REPORT_TYPE", "TMP")
STATION = re.compile(rb"[0-9A-Z]{11}")
ANY = re.compile(rb".*", re.DOTALL)
TMP = re.compile(rb"(?P<tenths>[+-]\d{4}),(?P<code>\w)|(?P<blank>)")
MISSING = 9999.0


def parse(text: bytes, path: Path) -> Reports:
    """Every row of a global-hourly file; text as `station_text.lines_of` gives it.

    Raises ArchiveError naming the file, and the line where one is wrong, or the product whose
    header this is.
    """
    _check_header(station_columns.header_of(text), path)
    raw = station_columns.read(text, path, WANTED, separator=",", quoted=True)
    tenths = understood(raw["TMP"], _tenths, path, "TMP is not like +0123,1")
    quality = labels(raw["TMP"], ANY, path, "TMP")
    quality = quality.of((_code(name) for name in quality.names), quality.codes)
    types = labels(raw["REPORT_TYPE"], ANY, path, "REPORT_TYPE")
    latitude, longitude, elevation = (
        understood(raw[name], decimal, path, f"{name} is not a number") for name in WANTED[2:5]
    )
    return reports(
        station=labels(raw["STATION"], STATION, path, "STATION has no 11 characters"),
        seconds=station_columns.iso_seconds(raw["DATE"], path),
        place=(latitude, longitude, np.where(elevation == MISSING, np.nan, elevation)),
        celsius=tenths / 10.0,
        quality=quality,
        report_type=types,
        trust=isd_codes.trust(quality.names)[quality.codes],
        kind=isd_codes.kinds(types.names)[types.codes],
    )


def _check_header(names: list[str], path: Path) -> None:
    if "HourlyDryBulbTemperature" in names:
        raise ArchiveError(
            f"{path} is another product, Local Climatological Data in Fahrenheit; fetch the file "
            "of the same name from NOAA's global-hourly archive."
        )
    lacking = [name for name in WANTED if name not in names]
    if lacking:
        raise ArchiveError(
            f"{path} has the header of another product: it lacks {', '.join(lacking)}; fetch it "
            "from NOAA's global-hourly archive."
        )


def _tenths(text: bytes) -> float | None:
    match = TMP.fullmatch(text)
    if match is None:
        return None
    tenths = float(match["tenths"] or MISSING)
    return float("nan") if tenths == MISSING else tenths


def _code(text: str) -> str:
    """The quality code of a TMP; blank TMP, like a missing one, has 9."""
    return text.partition(",")[2] or "9"
