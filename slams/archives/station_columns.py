"""Columns of separated text: those that are wanted, a row for every line, each fault with its line.

Text that repeats arrives as a dictionary, so that each different text is understood once.
"""

import csv as plain_csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from slams.archives.reports import Labels
from slams.archives.station_text import bad_line, first_bad, moments, no_digits, number
from slams.errors import ArchiveError

Columns: TypeAlias = dict[str, pa.Array]

TEXT = pa.dictionary(pa.int32(), pa.binary())
DECIMAL = re.compile(rb"[+-]?(\d{1,6}\.?\d{0,20}|\.\d{1,20})([eE][+-]?\d{1,2})?")
ISO = re.compile(rb"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(\.0+)?Z?")


def header_of(text: bytes) -> list[str]:
    """The names in the first line, whichever of ',' and '|' parts them."""
    line = text.partition(b"\n")[0].decode("latin-1")
    return [name.strip().strip('"') for name in line.split("|" if "|" in line else ",")]


def read(
    text: bytes, path: Path, wanted: Sequence[str], *, separator: str, quoted: bool
) -> Columns:
    """The wanted columns of text with a header line, as `station_text.lines_of` gives it.

    Binary text; DATE plain, the others as dictionaries. quoted: whether values may stand in
    double quotes; they may not run over lines.

    Raises ArchiveError naming the file, and the line that has too few or too many values.
    """
    names = header_of(text)
    repeated = [name for name in wanted if names.count(name) > 1]
    if repeated:
        bad_line(path, 1, f"the header names {', '.join(repeated)} twice")
    body = text[text.index(b"\n") + 1 :]
    places = {name: str(names.index(name)) for name in wanted}
    if not body:
        empty = {name: pa.array([], pa.binary()) for name in wanted}
        return {k: v if k.upper() == "DATE" else v.dictionary_encode() for k, v in empty.items()}
    try:
        table = csv.read_csv(
            io.BytesIO(body),
            read_options=csv.ReadOptions(
                use_threads=False,
                # Whole: a line longer than a block would be refused.
                block_size=min(len(body) + 1, 2**31 - 1),
                column_names=[str(place) for place in range(len(names))],
            ),
            parse_options=csv.ParseOptions(
                delimiter=separator,
                quote_char='"' if quoted else False,
                ignore_empty_lines=False,
            ),
            convert_options=csv.ConvertOptions(
                include_columns=list(places.values()),
                column_types={
                    place: pa.binary() if name.upper() == "DATE" else TEXT
                    for name, place in places.items()
                },
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowException as error:
        _name_line(body, path, separator, quoted, len(names))
        raise ArchiveError(
            f"{path} is damaged ({str(error)[:200]}); delete it and fetch it again."
        ) from error
    lines = body.count(b"\n")
    if table.num_rows != lines:
        _name_line(body, path, separator, quoted, len(names))
        raise ArchiveError(
            f"{path} is damaged: its {lines} lines make {table.num_rows} rows; delete it and fetch "
            "it again."
        )
    return {name: _whole(table.column(place)) for name, place in places.items()}


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """One array of a column's pieces."""
    joined = column.unify_dictionaries().combine_chunks()
    return joined.chunk(0) if isinstance(joined, pa.ChunkedArray) else joined


def _name_line(body: bytes, path: Path, separator: str, quoted: bool, expected: int) -> None:
    """Raise for the first line that has another number of values than the header."""
    for line, content in enumerate(body.removesuffix(b"\n").split(b"\n"), start=2):
        text = content.decode("latin-1")
        try:
            values = next(plain_csv.reader([text])) if quoted else text.split(separator)
        except (plain_csv.Error, StopIteration):
            bad_line(path, line, "it cannot be told into values")
        if len(values) != expected:
            bad_line(path, line, f"it has {len(values)} values, the header {expected}")
        if quoted and content.count(b'"') % 2:
            bad_line(path, line, "a quotation mark is not closed")


def understood(
    column: pa.DictionaryArray, meaning: Callable[[bytes], float | None], path: Path, what: str
) -> NDArray[np.float64]:
    """A number for each row: the meaning of its text, NaN where that says so.

    meaning: None for text that is wrong. Raises ArchiveError naming the first line that has such.
    """
    values = [meaning(text) for text in column.dictionary.to_pylist()]
    codes = column.indices.to_numpy()
    wrong = np.array([value is None for value in values], dtype=bool)
    if wrong.any():
        first_bad(wrong[codes], path, what, header=1)
    known = np.array([0.0 if value is None else value for value in values], dtype=np.float64)
    return known[codes] if len(known) else np.zeros(0)


def labels(
    column: pa.DictionaryArray,
    form: re.Pattern[bytes],
    path: Path,
    what: str,
    group: int | str = 0,
) -> Labels:
    """A text for each row: what `form` finds in its own, or the given group of it.

    Raises ArchiveError naming the first line where it does not fit.
    """
    found = [form.fullmatch(text) for text in column.dictionary.to_pylist()]
    codes = column.indices.to_numpy()
    wrong = np.array([match is None for match in found], dtype=bool)
    if wrong.any():
        first_bad(wrong[codes], path, what, header=1)
    return Labels.of((m[group].decode("latin-1").strip() for m in found if m), codes)


def iso_seconds(column: pa.Array, path: Path) -> NDArray[np.int64]:
    """Seconds since 1970 from dates like 2019-01-03T22:00:00.

    Raises ArchiveError naming the first line that has another text.
    """
    rows = len(column)
    text = column.cast(pa.large_binary())
    offsets = np.frombuffer(text.buffers()[1], dtype=np.int64)[text.offset :][: rows + 1]
    values = text.buffers()[2] or b""
    if (np.diff(offsets) == 19).all():
        table = np.frombuffer(values, dtype=np.uint8)[offsets[0] : offsets[-1]].reshape(rows, 19)
    else:
        table = _spelled_out(column.to_pylist(), path)
    table = np.ascontiguousarray(table.T)
    digits = table[[0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]]
    wrong = no_digits(digits)
    for place, mark in ((4, "-"), (7, "-"), (13, ":"), (16, ":")):
        wrong |= table[place] != ord(mark)
    wrong |= (table[10] != ord("T")) & (table[10] != ord(" "))
    hour, minute, second = (number(digits[a : a + 2]) for a in (8, 10, 12))
    wrong |= (minute > 59) | (second > 59)
    first_bad(wrong, path, "DATE is not like 2019-01-03T22:00:00", header=1)
    year, month, day = number(digits[0:4]), number(digits[4:6]), number(digits[6:8])
    return moments(year, month, day, 60 * (60 * hour + minute) + second, path, header=1)


def _spelled_out(texts: list[bytes], path: Path) -> NDArray[np.uint8]:
    """Dates without seconds, with parts of one, or with a final Z, as text of one length.

    Returns (row, 19).
    """
    joined = []
    for line, text in enumerate(texts, start=2):
        match = ISO.fullmatch(text.strip())
        if match is None:
            bad_line(path, line, "DATE is not like 2019-01-03T22:00:00")
        joined.append(match[1] + b"T" + match[2] + (match[3] or b":00"))
    return np.frombuffer(b"".join(joined), dtype=np.uint8).reshape(len(texts), 19)


def decimal(text: bytes) -> float | None:
    """A number, NaN for blank text, None for what is none."""
    text = text.strip()
    if not text:
        return float("nan")
    return float(text) if DECIMAL.fullmatch(text) else None
