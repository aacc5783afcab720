"""From the files of many stations to one sorted table of observations, in little memory."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slams.archives import station_files
from slams.archives.report_rules import Places, assign_hours, beaten, judge
from slams.archives.reports import REASONS
from slams.archives.station_parts import Parts
from slams.archives.station_set import Writer
from slams.errors import ArchiveError
from slams.provenance import atomic

Slab: TypeAlias = dict[str, NDArray[Any]]
Rejected: TypeAlias = tuple[int, int, int]  # number of a file, of a station, of a reason

REJECTED_COLUMNS = ["file", "station_id", "reason", "rows"]


@dataclass(frozen=True)
class Account:
    """What became of the rows: how many are kept, and the others as REJECTED_COLUMNS."""

    rows: int
    rejected: pd.DataFrame
    most_held: int  # rows in memory at once


def ingest(
    paths: Sequence[Path | str],
    stations: pd.DataFrame | None,
    start: Any,
    end: Any,
    target: Path | str,
    *,
    hours: Sequence[int] | None = None,
    tolerance: float = 30.0,
    before: Sequence[Path | str] = (),
    attributes: Mapping[str, str] | None = None,
) -> Account:
    """Write the observations of many files within a period to `target`, as Parquet.

    paths: files in any of the four formats. stations: see `isd.read` and `ghcnh.read`. start,
    end: UTC, both included ("2015-12-31" is its first instant).
    hours: UTC hours wanted; then the report nearest to such an hour, at most `tolerance` minutes
    away, counts as that hour's (routine reports of many countries come at :50 to :55). None keeps
    every time. before: files of the time before `start`, of which only the reports count that
    stand for a time of the period; the others belong to another account.
    attributes: go into the file's metadata.

    The columns are those of `isd.read`, and report_time, the time in the file; sorted by time and
    station_id, one row a station and time. Of files that hold the same station and time, the
    report nearest to the hour wins, then the better one as within a file, then the earlier file.
    Memory is bounded by `station_parts`, whatever the number of files.

    Every row of `paths` is kept or in the account's `rejected`, with the further reasons "other
    hour", "not the nearest" and "outside the period".

    Raises ArchiveError as the readers do, and when no file is given.
    """
    if not paths:
        raise ArchiveError("No station file was given; fetch the stations of the period first.")
    places = None if stations is None else Places(stations)
    first, last = _seconds(start), _seconds(end)
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    files = [Path(path) for path in (*paths, *before)]
    rejected: Counter[Rejected] = Counter()
    folder = Path(tempfile.mkdtemp(prefix=".parts-", dir=target.parent))
    try:
        parts = Parts(folder, first, last)
        for number, file in enumerate(files):
            table = station_files.parse(file)
            station_files.check_list(table, stations, file)
            earlier = number >= len(paths)
            if earlier:
                margin = 0.0 if hours is None else 60.0 * tolerance
                table = table.take(table.seconds >= first - margin)
            judge(table, places)
            if hours is not None:
                assign_hours(table, hours, tolerance)
            if earlier:
                table = table.take(table.seconds >= first)
            # Rows that stand for no hour count by the time of their report.
            seconds = np.where(table.open, table.seconds, table.seconds - table.shift)
            # Whatever else is wrong with it: it belongs to another year's count.
            table.override((seconds < first) | (seconds > last), "outside the period")
            against = ~table.open
            _count(
                rejected,
                np.full(int(against.sum()), number, dtype=np.int32),
                parts.stations.codes(table.station)[against],
                table.reason[against],
            )
            parts.add(table, number)
        with atomic(target) as path:
            kept = _write(parts, path, attributes or {}, rejected)
        counted = _counts(rejected, list(map(str, paths)), list(parts.stations.known))
        return Account(kept, counted, parts.most_held)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require(account: Account, year: int) -> None:
    """Raise ArchiveError, with the reasons, where no report of a year was kept."""
    if not account.rows:
        counts = account.rejected.groupby("reason")["rows"].sum().sort_values(ascending=False)
        reasons = ", ".join(f"{reason} {rows}" for reason, rows in counts.items()) or "no rows"
        raise ArchiveError(
            f"archives.stations: no report of {year} can be used ({reasons}); add files of that "
            "year, or mend archives.stations.history, tolerance_minutes or time.hours, or take "
            "stations out of every arm's streams"
        )


def _seconds(instant: Any) -> int:
    """Whole seconds since 1970, those begun before the instant."""
    # Not through a float: a nanosecond before midnight would become midnight.
    return int(pd.Timestamp(instant).as_unit("ns").value // 10**9)


def _count(
    rejected: Counter[Rejected],
    file: NDArray[np.int32],
    station: NDArray[np.int32],
    reason: NDArray[np.int8],
) -> None:
    """Add rejected rows to the count; all (row,)."""
    if not len(file):
        return
    frame = pd.DataFrame({"file": file, "station": station, "reason": reason})
    for key, rows in frame.value_counts(sort=False).items():
        rejected[key] += int(rows)  # type: ignore[index]


def _write(
    parts: Parts, path: Path, attributes: Mapping[str, str], rejected: Counter[Rejected]
) -> int:
    """Bring slab after slab into order, and write what is left of it; return the rows."""
    seen = list(parts.stations.known)
    names = {
        "station_id": sorted(seen),
        "quality": list(parts.qualities.known),
        "report_type": list(parts.types.known),
    }
    rank = np.empty(len(seen), dtype=np.int32)
    rank[np.argsort(np.array(seen, dtype=object))] = np.arange(len(seen), dtype=np.int32)
    with Writer(path, attributes, names) as writer:
        for slab in parts.slabs():
            writer.write(_ordered(slab, rank, rejected))
    return writer.rows


def _ordered(slab: Slab, rank: NDArray[np.int32], rejected: Counter[Rejected]) -> Slab:
    """The columns of a slab by time and station, one row a station and time.

    rank: the place of each station's id in the order of ids.
    """
    key = (slab["time"] - slab["time"].min()) * len(rank) + rank[slab["station"]]
    lost, won = beaten(key, np.ones(len(key), dtype=bool), slab["nearness"])
    further = np.abs(slab["shift"][lost]) > np.abs(slab["shift"][won])
    reason = np.where(further, REASONS.index("not the nearest"), REASONS.index("duplicate"))
    _count(rejected, slab["file"][lost], slab["station"][lost], reason.astype(np.int8))
    order = np.argsort(key, kind="stable")
    stays = np.ones(len(key), dtype=bool)
    stays[lost] = False
    order = order[stays[order]]
    columns = {name: values[order] for name, values in slab.items()}
    return columns | {
        "station_id": rank[columns["station"]],
        "report_time": columns["time"] - columns["shift"],
    }


def _counts(rejected: Counter[Rejected], files: list[str], names: list[str]) -> pd.DataFrame:
    """The rejected rows by file, station and reason; of further files another account tells."""
    rows = [
        (files[file], names[station], REASONS[reason], count)
        for (file, station, reason), count in sorted(rejected.items())
        if file < len(files)
    ]
    return pd.DataFrame(rows, columns=REJECTED_COLUMNS)
