"""GHCNh files of a station and year: text parted by '|' with a header line, or Parquet.

Columns are found by name, whatever their case, because NOAA has renamed them: STATION was
Station_ID, LATITUDE was Latitude, and files of the whole record had Year, Month, Day, Hour and
Minute without DATE. Temperature is in degrees Celsius.
"""

import io
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from slams.archives import ghcnh_codes, station_columns
from slams.archives.reports import Labels, Reports, reports
from slams.archives.station_columns import Columns, decimal, iso_seconds, labels, understood
from slams.archives.station_text import moments
from slams.errors import ArchiveError

VALUES = (
    "latitude",
    "longitude",
    "elevation",
    "temperature",
    "temperature_quality_code",
    "temperature_report_type",
    "temperature_source_code",
)
CLOCK = ("year", "month", "day", "hour", "minute")
STATIONS = ("station", "station_id")  # names that the id has had
PARQUET = b"PAR1"
ID = re.compile(rb"[0-9A-Za-z_-]{11}")
CODE = re.compile(rb" *(?P<text>[^|]{0,40}?) *", re.DOTALL)
NOTHING = frozenset((b"null", b"none", b"nan", b"-9999", b"-9999.0", b"-999.9", b"9999", b"9999.9"))
NO_ELEVATION = re.compile(rb" *\*+ *|-999(9|\.0|\.9)?")


def is_header(names: list[str]) -> bool:
    """Whether these are the columns of GHCNh."""
    return "temperature_quality_code" in {name.lower() for name in names}


def parse(text: bytes, path: Path) -> Reports:
    """Every row of a GHCNh text file, as `station_text.lines_of` gives it.

    Raises ArchiveError naming the file, and the line where one is wrong.
    """
    found = _by_meaning(station_columns.header_of(text), path)
    raw = station_columns.read(text, path, list(found.values()), separator="|", quoted=False)
    return _reports({meaning: raw[name] for meaning, name in found.items()}, path)


def parse_parquet(data: bytes, path: Path) -> Reports:
    """Every row of a GHCNh Parquet file; lines in messages are rows, the header being the first.

    Raises ArchiveError naming the file when it is damaged or has other columns.
    """
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        found = _by_meaning(file.schema_arrow.names, path)
        table = file.read(columns=list(found.values()))
        plain = {
            meaning: table.column(name).cast(pa.string()).fill_null("").cast(pa.binary())
            for meaning, name in found.items()
        }
    except (pa.ArrowException, OSError) as error:
        raise ArchiveError(
            f"{path} is damaged ({str(error)[:200]}); delete it and fetch it again."
        ) from error
    whole = {meaning: pa.array(column.combine_chunks()) for meaning, column in plain.items()}
    return _reports(
        {k: v if k == "date" else v.dictionary_encode() for k, v in whole.items()}, path
    )


def _by_meaning(names: list[str], path: Path) -> dict[str, str]:
    """The file's names of the columns that are needed."""
    known: dict[str, str] = {}
    for name in names:
        known.setdefault(name.lower(), name)
    station = [name for name in STATIONS if name in known]
    clock = ["date"] if "date" in known else list(CLOCK)
    lacking = [name for name in (*clock, *VALUES) if name not in known]
    if lacking or not station:
        what = ", ".join([*([] if station else ["STATION"]), *lacking])
        raise ArchiveError(
            f"{path} has the header of another product than GHCNh: it lacks {what}; fetch it from "
            "NOAA's GHCNh archive."
        )
    found = {name: known[name] for name in (*clock, *VALUES)}
    return {"station": known[station[0]], **found}


def _reports(raw: Columns, path: Path) -> Reports:
    latitude, longitude = (
        understood(raw[name], _number, path, f"{name} is not a number")
        for name in ("latitude", "longitude")
    )
    elevation = understood(raw["elevation"], _elevation, path, "elevation is not a number")
    celsius = understood(raw["temperature"], _number, path, "temperature is not a number")
    quality = _code(raw, "temperature_quality_code", path)
    source = _code(raw, "temperature_source_code", path)
    types = _code(raw, "temperature_report_type", path)
    trust = np.array(
        [[ghcnh_codes.trust_of(q, s) for s in source.names] for q in quality.names], dtype=np.int8
    ).reshape(len(quality.names), len(source.names))
    return reports(
        station=labels(raw["station"], ID, path, "the station's id has not 11 characters"),
        seconds=_seconds(raw, path),
        place=(latitude, longitude, elevation),
        celsius=celsius,
        quality=quality,
        report_type=types,
        trust=trust[quality.codes, source.codes],
        kind=ghcnh_codes.kinds(types.names)[types.codes],
    )


def _code(raw: Columns, name: str, path: Path) -> Labels:
    return labels(raw[name], CODE, path, f"{name} is too long for a code", "text")


def _number(text: bytes) -> float | None:
    return float("nan") if text.strip().lower() in NOTHING else decimal(text)


def _elevation(text: bytes) -> float | None:
    return float("nan") if NO_ELEVATION.fullmatch(text) else _number(text)


def _seconds(raw: Columns, path: Path) -> NDArray[np.int64]:
    if "date" in raw:
        return iso_seconds(raw["date"], path)
    year, month, day, hour, minute = (
        understood(raw[name], _whole, path, f"{name} is not a number").astype(np.int32)
        for name in CLOCK
    )
    # A minute that is none must not make up for an hour that is none.
    second = np.where((hour < 0) | (minute < 0) | (minute > 59), -1, 60 * (60 * hour + minute))
    return moments(year, month, day, second, path, header=1)


def _whole(text: bytes) -> float | None:
    return float(text) if re.fullmatch(rb" *\d{1,4} *", text) else None
