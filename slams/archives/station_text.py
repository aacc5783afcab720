"""What the readers of station files share: whole text, lines that can be named, numbers, times.

Text is prepared so that a line is what stands before a newline: `lines_of` gives every file one
kind of line end and one at the end, without the blank lines that may follow the last record.
Numbers of fixed width are worked out column by column for all lines at once.
"""

import gzip
import zlib
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from slams.errors import ArchiveError

Bytes = NDArray[np.uint8]

TAIL = 1024  # bytes in which the end of the last line is looked for first
FIRST_YEAR, LAST_YEAR = 1700, 2200  # of observations; beyond them a date is damage
_FIRST_DAYS = (
    np.arange(f"{FIRST_YEAR}-01", f"{LAST_YEAR + 1}-02", dtype="datetime64[M]")
    .astype("datetime64[D]")
    .astype(np.int64)
)
_DAYS = np.diff(_FIRST_DAYS)  # of every month


def contents(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is gzip.

    Raises ArchiveError naming the file when it is absent, empty, truncated or damaged.
    """
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
    if not data or data.isspace():
        raise ArchiveError(f"{path} is empty; delete it and fetch it again.")
    return data


def lines_of(data: bytes, path: Path) -> bytes:
    """Text whose every line ends in a newline: none is blank after the last that is not.

    Raises ArchiveError naming the line where a carriage return stands within it.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").removesuffix(b"\r")
        stray = data.find(b"\r")
        if stray >= 0:
            bad_line(path, data.count(b"\n", 0, stray) + 1, "a carriage return stands within it")
    tail = data[-TAIL:]
    if tail.isspace():
        tail = data
    end = data.find(b"\n", len(data) - len(tail) + len(tail.rstrip()))
    return data + b"\n" if end < 0 else data[: end + 1]


def bad_line(path: Path, line: int, what: str) -> NoReturn:
    """Raise ArchiveError that names a line, counted from 1."""
    raise ArchiveError(f"{path}, line {line}: {what}; delete the file and fetch it again.")


def first_bad(wrong: NDArray[np.bool_], path: Path, what: str, header: int = 0) -> None:
    """Raise with the line of the first wrong row; the rows are the file's lines after a header."""
    if wrong.any():
        bad_line(path, int(np.argmax(wrong)) + 1 + header, what)


def line_ends(characters: Bytes) -> NDArray[np.int64]:
    """Where the newlines are.

    Of long lines they are looked for 64 characters at a time, a bit each, which takes two thirds
    of the time of `flatnonzero`.
    """
    newlines = characters == ord("\n")
    bits = np.packbits(newlines, bitorder="little")
    whole = len(bits) // 8 * 8
    words = bits[:whole].view("<u8")
    at = np.flatnonzero(words)
    found = words[at]
    if (found & (found - np.uint64(1))).any():  # two in one word
        return np.flatnonzero(newlines)
    # A power of two is exact as a floating-point number: its exponent is the place of the bit.
    place = np.frexp(found.astype(np.float64))[1] - 1
    return np.concatenate([64 * at + place, 8 * whole + np.flatnonzero(newlines[8 * whole :])])


def no_digits(table: Bytes) -> NDArray[np.bool_]:
    """Which rows hold another character than a digit; table (characters, rows)."""
    # Unsigned: what stands before the digit zero in ASCII becomes large.
    found: NDArray[np.bool_] = np.any(table - np.uint8(ord("0")) > 9, axis=0)
    return found


def number(table: Bytes) -> NDArray[np.int32]:
    """The number that digits spell; table (digits, rows)."""
    value = np.zeros(table.shape[1], dtype=np.int32)
    for digits in table:
        value *= 10
        value += digits - np.uint8(ord("0"))
    return value


def moments(
    year: NDArray[np.int32],
    month: NDArray[np.int32],
    day: NDArray[np.int32],
    second: NDArray[np.int32],
    path: Path,
    header: int = 0,
) -> NDArray[np.int64]:
    """Seconds since 1970 from dates and seconds of the day.

    Old records write midnight as 24:00 of the day before (seen in 035480, 1943).
    Raises ArchiveError naming the line of the first that is no date.
    """
    wrong = (year < FIRST_YEAR) | (year > LAST_YEAR) | (month < 1) | (month > 12) | (day < 1)
    wrong |= (second < 0) | (second > 24 * 3600)
    first_bad(wrong, path, "no date and time stand where they should", header)
    months = (year - FIRST_YEAR) * 12 + (month - 1)
    first_bad(day > _DAYS[months], path, "the month has no such day", header)
    return (_FIRST_DAYS[months] + (day - 1)) * 86400 + second
