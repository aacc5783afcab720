"""Files of station reports in any of the four formats, told apart by what they hold."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from slams.archives import ghcnh_format, isd_full, isd_hourly, isd_lite
from slams.archives.report_rules import Places, judge
from slams.archives.reports import Reports
from slams.archives.station_columns import header_of
from slams.archives.station_text import contents, lines_of
from slams.errors import ArchiveError

Parser: TypeAlias = Callable[[bytes, Path], Reports]
Read: TypeAlias = tuple[pd.DataFrame, dict[str, int]]

ISD = (isd_lite.parse, isd_full.parse, isd_hourly.parse)
GHCNH = (ghcnh_format.parse, ghcnh_format.parse_parquet)


def parse(path: Path, formats: tuple[Parser, ...] = ISD + GHCNH) -> Reports:
    """Every row of a file, unjudged.

    formats: those that are asked for; a file in another is refused.
    Raises ArchiveError naming the file, and the line where one is wrong.
    """
    data = contents(path)
    if data.startswith(ghcnh_format.PARQUET):
        reader: Parser = ghcnh_format.parse_parquet
    else:
        data = lines_of(data, path)
        reader = reader_of(data, path)
    if reader not in formats:
        product, other = ("ISD", "isd") if reader in ISD else ("GHCNh", "ghcnh")
        raise ArchiveError(f"{path} is a file of {product}; read it with archives.{other}.read.")
    return reader(data, path)


def reader_of(text: bytes, path: Path) -> Parser:
    """The reader of text as `station_text.lines_of` gives it, by its first line."""
    first = text.partition(b"\n")[0]
    names = header_of(first)
    if ghcnh_format.is_header(names):
        return ghcnh_format.parse
    if names[0] == "STATION" and len(names) > 1:
        return isd_hourly.parse
    if isd_full.START.match(first):
        return isd_full.parse
    if isd_lite.LINE.fullmatch(first):
        return isd_lite.parse
    raise ArchiveError(
        f"{path}, line 1 is of none of the three ISD formats (full, ISD-Lite, global-hourly CSV), "
        "nor the header of GHCNh; delete the file and fetch it again."
    )


def check_list(table: Reports, stations: object | None, path: Path) -> None:
    """Raise ArchiveError where ISD-Lite, which holds no positions, comes without a list."""
    if stations is None and not table.has_places:
        raise ArchiveError(
            f"{path} is ISD-Lite, which holds no positions; give stations=read_history(path of "
            "isd-history.csv)."
        )


def read(path: Path | str, stations: pd.DataFrame | None, formats: tuple[Parser, ...]) -> Read:
    """The rows of a file that are kept, and the count of the others by reason."""
    table = parse(Path(path), formats)
    check_list(table, stations, Path(path))
    judge(table, None if stations is None else Places(stations))
    return table.take(table.open).frame(), table.rejected()
