"""ISD's full format: records of 105 fixed characters and a variable part whose length they say.

Columns counted from 1: 1-4 length of the variable part, 5-15 station, 16-27 date and time (UTC),
29-34 latitude and 35-41 longitude (thousandths of a degree), 42-46 report type, 47-51 elevation
(m), 88-92 air temperature (tenths of a degree Celsius), 93 its quality code; +9999 is missing.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slams.archives import isd_codes
from slams.archives.reports import Labels, Reports, reports
from slams.archives.station_text import Bytes, first_bad, line_ends, moments, no_digits, number

START = re.compile(rb"\d{4}[0-9A-Z]{6}\d{5}\d{12}.[+-]\d{5}[+-]\d{6}")
FIXED = 105  # characters before the variable part
PARTS = ((0, 27), (28, 51), (87, 93))  # length to time, position to elevation, temperature
CLOCK = ((15, 19), (19, 21), (21, 23), (23, 25), (25, 27))  # year to minute
MISSING = 9999

_TRUST = isd_codes.trust([chr(code) for code in range(256)])


def parse(text: bytes, path: Path) -> Reports:
    """Every record of a file in the full format; text as `station_text.lines_of` gives it.

    Raises ArchiveError naming the file, and the line where one is wrong.
    """
    characters = np.frombuffer(text, dtype=np.uint8)
    ends = line_ends(characters)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    first_bad(lengths < FIXED, path, f"the record is shorter than {FIXED} characters")
    records = np.lib.stride_tricks.sliding_window_view(characters, PARTS[-1][1])[starts]
    # A column at a time is what follows: turn what is needed of them, and no more.
    start, place, value = (np.ascontiguousarray(records[:, a:b].T) for a, b in PARTS)
    declared = _digits(start[0:4], path)
    first_bad(lengths < declared + FIXED, path, "the record is shorter than it says")
    first_bad(_strange(start[4:15]), path, "no station stands in columns 5-15")
    first_bad(no_digits(start[15:27]), path, "a number is not one")
    year, month, day, hour, minute = (number(start[a:b]) for a, b in CLOCK)
    first_bad(minute > 59, path, "no date and time stand where they should")
    seconds = moments(year, month, day, 60 * (60 * hour + minute), path)
    latitude, longitude = _signed(place[0:6], path), _signed(place[6:13], path)
    elevation, celsius = _signed(place[18:23], path), _signed(value[0:5], path)
    types = _labels(place[13:18], strip=True)
    return reports(
        station=_labels(start[4:15], strip=False),
        seconds=seconds,
        place=(
            latitude / 1000.0,
            longitude / 1000.0,
            np.where(elevation == MISSING, np.nan, elevation),
        ),
        celsius=np.where(celsius == MISSING, np.nan, celsius / 10.0),
        quality=_labels(value[5:6], strip=False),
        report_type=types,
        trust=_TRUST[value[5]],
        kind=isd_codes.kinds(types.names)[types.codes],
    )


def _digits(table: Bytes, path: Path) -> NDArray[np.int32]:
    first_bad(no_digits(table), path, "a number is not one")
    return number(table)


def _signed(table: Bytes, path: Path) -> NDArray[np.int32]:
    negative = table[0] == ord("-")
    first_bad(~negative & (table[0] != ord("+")), path, "a number lacks its sign")
    value = _digits(table[1:], path)
    return np.where(negative, -value, value)


def _strange(table: Bytes) -> NDArray[np.bool_]:
    """Which rows hold another character than a digit or a capital; table (characters, rows)."""
    digit = table - np.uint8(ord("0")) <= 9
    capital = table - np.uint8(ord("A")) <= 25
    found: NDArray[np.bool_] = np.any(~(digit | capital), axis=0)
    return found


def _labels(table: Bytes, *, strip: bool) -> Labels:
    """Columns of characters as text; what is not printable ASCII becomes '?'."""
    rows = table.shape[1]
    if (table == table[:, :1]).all():
        return Labels.same(_text(table[:, 0], strip), rows)
    codes = np.zeros(rows, dtype=np.int64)
    first = np.zeros(0, dtype=np.int64)
    for part in range(0, len(table), 4):
        packed = np.zeros(rows, dtype=np.int64)
        for characters in table[part : part + 4]:
            packed = (packed << 8) | characters
        # The codes so far are fewer than 2**24, so that both fit in one number.
        codes, distinct = pd.factorize((codes << 32) | packed)
        first = np.zeros(len(distinct), dtype=np.int64)
    # The last of the rows that share a code stands for them.
    first[codes] = np.arange(rows)
    return Labels.of((_text(table[:, row], strip) for row in first), codes)


def _text(characters: Bytes, strip: bool) -> str:
    plain = np.where((characters < 32) | (characters > 126), ord("?"), characters)
    text = plain.astype(np.uint8).tobytes().decode("ascii")
    return text.strip() if strip else text
