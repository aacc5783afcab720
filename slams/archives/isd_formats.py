"""The three text formats of the Integrated Surface Database, each parsed into one raw table.

The table holds every row of the file, unjudged: station_id (11 characters), time, latitude,
longitude (-180..180), elevation (m), celsius, quality and report_type, with NaN or "" where the
file says missing. Judging is `slams.archives.isd`'s.
"""

import gzip
import io
import re
import zlib
from pathlib import Path
from typing import NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from slams.errors import ArchiveError

FULL_START = re.compile(rb"\d{4}[0-9A-Z]{6}\d{5}\d{12}.[+-]\d{5}[+-]\d{6}")
LITE_LINE = re.compile(rb" *\d{4}( +-?\d+){11}\s*")
LITE_NAME = re.compile(r"(?<![0-9A-Z])([0-9A-Z]{6})-(\d{5})-\d{4}(?!\d)")
CSV_COLUMNS = ("STATION", "DATE", "LATITUDE", "LONGITUDE", "ELEVATION", "REPORT_TYPE", "TMP")
FIXED = 105  # characters before the variable part of a full record


def parse(path: Path) -> pd.DataFrame:
    """The raw table of a file in any of the three formats, told apart by its first line.

    Raises ArchiveError naming the file, and the line where one is wrong.
    """
    data = _contents(path)
    first = data.partition(b"\n")[0].removeprefix(b"\xef\xbb\xbf")
    if first.replace(b'"', b"").startswith(b"STATION,"):
        return _parse_csv(data, first, path)
    if FULL_START.match(first):
        return _parse_full(data, path)
    if LITE_LINE.fullmatch(first):
        return _parse_lite(data, path)
    raise ArchiveError(
        f"{path}, line 1 is of none of the three ISD formats (full, ISD-Lite, global-hourly CSV); "
        "delete the file and fetch it again."
    )


def _contents(path: Path) -> bytes:
    if not path.is_file():
        raise ArchiveError(f"{path} does not exist; fetch it first or correct the path.")
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise ArchiveError(
                f"{path} is truncated or damaged ({error}); delete it and fetch it again."
            ) from error
    if not data.strip():
        raise ArchiveError(f"{path} is empty; delete it and fetch it again.")
    return data


def _bad_line(path: Path, line: int, what: str) -> NoReturn:
    raise ArchiveError(f"{path}, line {line}: {what}; delete the file and fetch it again.")


def _first_bad(wrong: NDArray[np.bool_], path: Path, what: str, header: int = 0) -> None:
    """Raise with the line of the first wrong row; the rows are the file's lines after a header."""
    if wrong.any():
        _bad_line(path, int(np.argmax(wrong)) + 1 + header, what)


def _moments(fields: NDArray[np.int64], path: Path) -> NDArray[np.datetime64]:
    """Times from year, month, day, hour, minute; fields: (n, 5)."""
    year, month, day, hour, minute = fields.T
    wrong = (year < 1700) | (year > 2200) | (month < 1) | (month > 12) | (day < 1) | (day > 31)
    # Old records write midnight as 24:00 of the day before (seen in 035480, 1943).
    wrong |= (hour < 0) | (60 * hour + minute > 24 * 60) | (minute < 0) | (minute > 59)
    _first_bad(wrong, path, "no date and time stand where they should")
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    _first_bad(days.astype("datetime64[M]") != months, path, "the month has no such day")
    return (days.astype("datetime64[m]") + (60 * hour + minute)).astype("datetime64[ns]")


def _parse_lite(data: bytes, path: Path) -> pd.DataFrame:
    """ISD-Lite: year month day hour, then air temperature (tenths of a degree, -9999 missing)."""
    name = LITE_NAME.search(path.name)
    if name is None:
        raise ArchiveError(
            f"{path} is ISD-Lite, which names its station in the file name only; call it "
            "USAF-WBAN-YYYY or USAF-WBAN-YYYY.gz as the provider does."
        )
    stray = re.search(rb"[^0-9 \-\r\n]", data)
    if stray:
        _bad_line(path, data.count(b"\n", 0, stray.start()) + 1, "is not a line of ISD-Lite")
    try:
        table = np.loadtxt(io.BytesIO(data), dtype=np.int32, comments=None, ndmin=2)
    except (ValueError, OverflowError) as error:
        for number, line in enumerate(data.splitlines(), start=1):
            if line.strip() and not LITE_LINE.fullmatch(line):
                _bad_line(path, number, "is not a line of ISD-Lite")
        raise ArchiveError(
            f"{path} is no ISD-Lite ({error}); delete it and fetch it again."
        ) from error
    clock = np.zeros((len(table), 5), dtype=np.int64)
    clock[:, :4] = table[:, :4]
    missing = table[:, 4] == -9999
    return pd.DataFrame(
        {
            "station_id": name[1] + name[2],
            "time": _moments(clock, path),
            "latitude": np.nan,
            "longitude": np.nan,
            "elevation": np.nan,
            "celsius": np.where(missing, np.nan, table[:, 4] / 10.0),
            "quality": "",
            "report_type": "",
        }
    )


def _parse_full(data: bytes, path: Path) -> pd.DataFrame:
    """The full format: fixed columns 1-105 of the ISD format document, all records at once."""
    text = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    if not data.endswith(b"\n"):
        ends = np.append(ends, text.size)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    lengths -= (lengths > 0) & (text[np.maximum(ends - 1, 0)] == ord("\r"))
    _first_bad(lengths < FIXED, path, f"the record is shorter than {FIXED} characters")
    fixed = text[starts[:, None] + np.arange(FIXED)]
    declared = _digits(fixed[:, 0:4], path) + FIXED
    _first_bad(lengths < declared, path, "the record is shorter than it says")
    identity = fixed[:, 4:15]
    unnamed: NDArray[np.bool_] = np.any(~_alphanumeric(identity), axis=1)
    _first_bad(unnamed, path, "no station stands in columns 5-15")
    clock = [fixed[:, a:b] for a, b in ((15, 19), (19, 21), (21, 23), (23, 25), (25, 27))]
    celsius = _signed(fixed[:, 87:92], path)
    elevation = _signed(fixed[:, 46:51], path)
    return pd.DataFrame(
        {
            "station_id": _text(identity),
            "time": _moments(np.stack([_digits(part, path) for part in clock], axis=1), path),
            "latitude": _signed(fixed[:, 28:34], path) / 1000.0,
            "longitude": _signed(fixed[:, 34:41], path) / 1000.0,
            "elevation": np.where(elevation == 9999, np.nan, elevation),
            "celsius": np.where(celsius == 9999, np.nan, celsius / 10.0),
            "quality": _text(fixed[:, 92:93]),
            "report_type": np.char.strip(_text(fixed[:, 41:46])),
        }
    )


def _digits(characters: NDArray[np.uint8], path: Path) -> NDArray[np.int64]:
    digits = characters.astype(np.int64) - ord("0")
    wrong: NDArray[np.bool_] = np.any((digits < 0) | (digits > 9), axis=1)
    _first_bad(wrong, path, "a number is not one")
    return digits @ (10 ** np.arange(digits.shape[1] - 1, -1, -1))


def _signed(characters: NDArray[np.uint8], path: Path) -> NDArray[np.int64]:
    sign = characters[:, 0]
    _first_bad((sign != ord("+")) & (sign != ord("-")), path, "a number lacks its sign")
    return np.where(sign == ord("-"), -1, 1) * _digits(characters[:, 1:], path)


def _alphanumeric(characters: NDArray[np.uint8]) -> NDArray[np.bool_]:
    digit = (characters >= ord("0")) & (characters <= ord("9"))
    return digit | ((characters >= ord("A")) & (characters <= ord("Z")))


def _text(characters: NDArray[np.uint8]) -> NDArray[np.str_]:
    """Columns of characters as one string a row; anything that is not ASCII becomes '?'."""
    plain = np.where((characters < 32) | (characters > 126), ord("?"), characters)
    rows = np.ascontiguousarray(plain.astype(np.uint8))
    return rows.view(f"S{rows.shape[1]}")[:, 0].astype(np.str_)


def _parse_csv(data: bytes, header: bytes, path: Path) -> pd.DataFrame:
    """global-hourly CSV: TMP is "+0123,1", tenths of a degree and a quality code."""
    names = [name.strip().strip('"') for name in header.decode("latin-1").split(",")]
    lacking = [name for name in CSV_COLUMNS if name not in names]
    if "HourlyDryBulbTemperature" in names:
        raise ArchiveError(
            f"{path} is another product, Local Climatological Data in Fahrenheit; fetch the file "
            "of the same name from NOAA's global-hourly archive."
        )
    if lacking:
        raise ArchiveError(
            f"{path} has the header of another product: it lacks {', '.join(lacking)}; fetch it "
            "from NOAA's global-hourly archive."
        )
    strings = dict.fromkeys(CSV_COLUMNS, pa.string())
    options = csv.ConvertOptions(
        include_columns=list(CSV_COLUMNS), column_types=strings, strings_can_be_null=False
    )
    try:
        raw = csv.read_csv(
            io.BytesIO(data),
            # One thread, because only then errors name the row.
            read_options=csv.ReadOptions(use_threads=False),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=options,
        ).to_pandas()
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise ArchiveError(
            f"{path} is damaged ({str(error)[:200]}); delete it and fetch it again."
        ) from error
    temperature = raw["TMP"].replace("", "+9999,9").str.extract(r"^([+-]\d{4}),(\w)$")
    _wrong_csv(temperature[0].isna(), path, "TMP is not like +0123,1")
    _wrong_csv(~raw["STATION"].str.fullmatch(r"[0-9A-Z]{11}"), path, "STATION has no 11 characters")
    time = pd.to_datetime(raw["DATE"], format="%Y-%m-%dT%H:%M:%S", errors="coerce")
    _wrong_csv(time.isna(), path, "DATE is not like 2019-01-03T22:00:00")
    tenths = temperature[0].astype(np.int64)
    numbers = {name: _csv_number(raw[name], path) for name in CSV_COLUMNS[2:5]}
    return pd.DataFrame(
        {
            "station_id": raw["STATION"],
            "time": time.to_numpy().astype("datetime64[ns]"),
            "latitude": numbers["LATITUDE"],
            "longitude": numbers["LONGITUDE"],
            "elevation": numbers["ELEVATION"].where(numbers["ELEVATION"] != 9999.0),
            "celsius": (tenths / 10.0).where(tenths != 9999),
            "quality": temperature[1],
            "report_type": raw["REPORT_TYPE"].str.strip(),
        }
    )


def _csv_number(column: pd.Series, path: Path) -> pd.Series:
    blank = column.str.strip() == ""
    number = pd.to_numeric(column.where(~blank), errors="coerce").astype(np.float64)
    _wrong_csv(number.isna() & ~blank, path, f"{column.name} is not a number")
    return number


def _wrong_csv(wrong: pd.Series, path: Path, what: str) -> None:
    # Line numbers hold as long as no remark spans lines, which ISD's do not.
    _first_bad(wrong.to_numpy(dtype=bool), path, what, header=1)
