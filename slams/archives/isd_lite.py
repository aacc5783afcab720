"""ISD-Lite: hourly values of a station, in lines of twelve numbers without position or codes.

Widths 4, 3, 3, 3 and eight of 6: year, month, day, hour, air temperature (tenths of a degree
Celsius, -9999 missing), then seven others. NOAA has applied report types and quality codes.
"""

import io
import re
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from slams.archives.reports import OTHER, UNCODED, Labels, Reports, reports
from slams.archives.station_text import Bytes, bad_line, first_bad, moments, no_digits, number
from slams.errors import ArchiveError

LINE = re.compile(rb" *\d{4}( +-?\d{1,9}){11} *")
NAME = re.compile(r"(?<![0-9A-Z])([0-9A-Z]{6})-(\d{5})-\d{4}(?!\d)")
WIDTH = 62  # of a line as NOAA writes it, with its end
FIRST_VALUE = 13  # column where the values begin, six characters each
MISSING = -9999
BLANK, MINUS, DIGIT, STRAY = range(4)

_CLASSES = {ord(" "): BLANK, ord("-"): MINUS, **dict.fromkeys(b"0123456789", DIGIT)}
_CLASS = bytes(_CLASSES.get(code, STRAY) for code in range(256))

Fields: TypeAlias = tuple[NDArray[np.int32], ...]  # year, month, day, hour, tenths


def parse(text: bytes, path: Path) -> Reports:
    """Every line of an ISD-Lite file; text as `station_text.lines_of` gives it.

    Raises ArchiveError naming the file, and the line where one is wrong.
    """
    name = NAME.search(path.name)
    if name is None:
        raise ArchiveError(
            f"{path} is ISD-Lite, which names its station in the file name only; call it "
            "USAF-WBAN-YYYY or USAF-WBAN-YYYY.gz as the provider does."
        )
    fields = _regular(text) or _irregular(text, path)
    year, month, day, hour, tenths = fields
    rows = len(year)
    return reports(
        station=Labels.same(name[1] + name[2], rows),
        seconds=moments(year, month, day, 3600 * hour, path),
        place=None,
        celsius=np.where(tenths == MISSING, np.nan, tenths / 10.0),
        quality=Labels.same("", rows),
        report_type=Labels.same("", rows),
        trust=np.full(rows, UNCODED, dtype=np.int8),
        kind=np.full(rows, OTHER, dtype=np.int8),
    )


def _regular(text: bytes) -> Fields | None:
    """The fields where every line is exactly as NOAA writes it, else None."""
    rows, rest = divmod(len(text), WIDTH)
    if rest:
        return None
    table = np.frombuffer(text, dtype=np.uint8).reshape(rows, WIDTH).T
    if not (table[-1] == ord("\n")).all():
        return None
    date = np.ascontiguousarray(table[:FIRST_VALUE])
    if no_digits(date[[0, 1, 2, 3, 5, 6, 8, 9, 11, 12]]).any():
        return None
    if not (date[[4, 7, 10]] == ord(" ")).all():
        return None
    kind = np.frombuffer(text.translate(_CLASS), dtype=np.uint8).reshape(rows, WIDTH).T
    if not _well_formed(np.ascontiguousarray(kind[FIRST_VALUE:-1])):
        return None
    parts = (number(date[a:b]) for a, b in ((0, 4), (5, 7), (8, 10), (11, 13)))
    return *parts, _right_aligned(np.ascontiguousarray(table[FIRST_VALUE : FIRST_VALUE + 6]))


def _well_formed(kind: Bytes) -> bool:
    """Whether every six characters are blanks, perhaps a minus, then digits."""
    fields = kind.reshape(-1, 6, kind.shape[1])
    left, right = fields[:, :-1], fields[:, 1:]
    # Along a number the classes may only rise, and nothing but a digit ends it or follows a minus.
    rising = (left <= right) & ((left != MINUS) | (right == DIGIT))
    return bool(rising.all() and (fields[:, -1] == DIGIT).all())


def _right_aligned(characters: Bytes) -> NDArray[np.int32]:
    """Numbers behind blanks, with or without a minus; characters (6, row)."""
    value = np.zeros(characters.shape[1], dtype=np.int32)
    for column in characters:
        digit = column - np.uint8(ord("0"))
        value *= 10
        value += np.where(digit <= 9, digit, 0)
    return np.where((characters == ord("-")).any(axis=0), -value, value)


def _irregular(text: bytes, path: Path) -> Fields:
    """The fields of lines that differ in length or spacing, or the line that is none."""
    lines = text.count(b"\n")
    wrong = re.search(rb"[^0-9 \-\n]|^ *$", text[:-1], re.MULTILINE)
    if wrong:
        bad_line(path, text.count(b"\n", 0, wrong.start()) + 1, "is not a line of ISD-Lite")
    try:
        table = np.loadtxt(io.BytesIO(text), dtype=np.int32, comments=None, ndmin=2)
    except (ValueError, OverflowError) as error:
        _name_line(text, path)
        raise ArchiveError(
            f"{path} is no ISD-Lite ({error}); delete it and fetch it again."
        ) from error
    if table.shape != (lines, 12):
        _name_line(text, path)
        raise ArchiveError(f"{path} is no ISD-Lite; delete it and fetch it again.")
    first_bad((table[:, 3] < 0) | (table[:, 3] > 24), path, "the hour is none")
    return tuple(table[:, column].copy() for column in range(5))


def _name_line(text: bytes, path: Path) -> None:
    for line, content in enumerate(text.splitlines(), start=1):
        if not LINE.fullmatch(content):
            bad_line(path, line, "is not a line of ISD-Lite")
