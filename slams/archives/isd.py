"""Air temperature at weather stations, from NOAA's Integrated Surface Database.

Smith, Lott and Vose 2011, Bull. Amer. Meteor. Soc. 92, 704; columns, quality codes and report
types after NOAA's Federal Climate Complex Data Documentation for ISD. NOAA updated ISD until the
end of August 2025.

What is kept of a file's rows and how the others are counted: `slams.archives.isd_rules`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slams.archives import fetch as transfer
from slams.archives.isd_formats import parse
from slams.archives.isd_rules import (
    Reasons,
    assign_hours,
    judge,
    possible_elevation,
    possible_position,
    worse_duplicates,
)
from slams.errors import ArchiveError

BATCH = 128  # files judged together; 128 station years of hourly reports are some 300 MB
COLUMNS = [
    "station_id",
    "time",
    "latitude",
    "longitude",
    "elevation",
    "air_temperature",
    "quality",
    "report_type",
]
HISTORY_COLUMNS = ("USAF", "WBAN", "STATION NAME", "CTRY", "LAT", "LON", "ELEV(M)", "BEGIN", "END")
HISTORY_ADDRESS = "https://www.ncei.noaa.gov/pub/data/noaa/isd-history.csv"
ADDRESSES = {
    "isd-lite": (
        "https://www.ncei.noaa.gov/pub/data/noaa/isd-lite",
        "{usaf}-{wban}-{year}.gz",
    ),
    "full": ("https://www.ncei.noaa.gov/pub/data/noaa", "{usaf}-{wban}-{year}.gz"),
    "global-hourly": ("https://noaa-global-hourly-pds.s3.amazonaws.com", "{usaf}{wban}.csv"),
}


def read(
    path: Path | str, stations: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Observations of one file in any of the three ISD formats, plain or gzip.

    stations: the table of `read_history`; ISD-Lite needs it for the positions, for the other
    formats it fills what a row lacks.
    Returns the rows kept, in the file's order, and the count of the others by reason; together
    they are all rows of the file. Columns: station_id (USAF and WBAN, 11 characters), time
    (datetime64[ns], UTC), latitude, longitude (degrees, 0..360), elevation (m), air_temperature
    (K), quality (ISD's code, "" for ISD-Lite), report_type ("" for ISD-Lite).

    Raises ArchiveError naming the file, and the line, when it is empty, truncated, damaged or of
    another product, and when ISD-Lite is read without stations.
    """
    positions = None if stations is None else stations.set_index("station_id")
    table, reasons = judge(_parse(Path(path), positions), positions)
    names, counts = np.unique(reasons.of[~reasons.open].astype(str), return_counts=True)
    kept = table.loc[reasons.open, COLUMNS].reset_index(drop=True)
    return kept, dict(zip(names.tolist(), counts.tolist(), strict=True))


def read_history(path: Path | str) -> pd.DataFrame:
    """The station list `isd-history.csv`.

    Returns station_id (text), name, country, latitude, longitude (degrees, 0..360), elevation
    (m, NaN where the list has none), begin, end (datetime64[ns]). Stations without a usable
    position, without any identifier, and bogus entries are left out and counted by reason in
    `.attrs["rejected"]`; of entries with the same identifier the one that ends last is taken.

    Raises ArchiveError when the file is not such a list, or holds no station to use.
    """
    path = Path(path)
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=list(HISTORY_COLUMNS))
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{path} is not NOAA's isd-history.csv ({error}); fetch it.") from error
    table = pd.DataFrame(
        {
            "station_id": raw["USAF"].str.zfill(6) + raw["WBAN"].str.zfill(5),
            "name": raw["STATION NAME"].str.strip(),
            "country": raw["CTRY"],
            "latitude": pd.to_numeric(raw["LAT"], errors="coerce"),
            "longitude": pd.to_numeric(raw["LON"], errors="coerce"),
            "elevation": pd.to_numeric(raw["ELEV(M)"], errors="coerce"),
            "begin": pd.to_datetime(raw["BEGIN"], format="%Y%m%d", errors="coerce"),
            "end": pd.to_datetime(raw["END"], format="%Y%m%d", errors="coerce"),
        }
    )
    table[["begin", "end"]] = table[["begin", "end"]].astype("datetime64[ns]")
    table["elevation"] = table["elevation"].where(possible_elevation(table["elevation"]))
    unnamed = (raw["USAF"] == "999999") & (raw["WBAN"] == "99999")
    last = ~table.sort_values("end", kind="stable").duplicated("station_id", keep="last")
    reason = np.select(
        [
            unnamed,
            table["name"].str.contains("BOGUS"),
            ~possible_position(table["latitude"], table["longitude"]),
            ~last.reindex(table.index),
        ],
        ["no identifier", "bogus", "no position", "duplicate"],
        "",
    )
    table["longitude"] %= 360.0
    kept = table[reason == ""].reset_index(drop=True)
    names, counts = np.unique(reason[reason != ""], return_counts=True)
    kept.attrs["rejected"] = dict(zip(names.tolist(), counts.tolist(), strict=True))
    if kept.empty:
        raise ArchiveError(
            f"{path} lists no station with an identifier and a position; fetch it again, or mend "
            "archives.stations.history."
        )
    return kept


def reporting(history: pd.DataFrame, year: int) -> pd.Series:
    """Ids of the stations whose period in the list of `read_history` reaches into a year."""
    begins = history["begin"] < pd.Timestamp(year + 1, 1, 1)
    ends = history["end"] >= pd.Timestamp(year, 1, 1)
    return history.loc[begins & ends, "station_id"].reset_index(drop=True)


def ingest(
    paths: Sequence[Path | str],
    history: pd.DataFrame | None,
    start: Any,
    end: Any,
    *,
    hours: Sequence[int] | None = None,
    tolerance: float = 30.0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Observations of many files within a period.

    history: see `read`. start, end: UTC, both included ("2015-12-31" is its first instant).
    hours: UTC hours wanted; then the report nearest to such an hour, at most `tolerance` minutes
    away, counts as that hour's (routine reports of many countries come at :50 to :55). None keeps
    every time.
    Returns the observations (columns of `read`, and report_time, the time in the file), sorted by
    time and station_id, one a station and time; and the rejected rows as file, station_id, reason,
    rows, with the further reasons "other hour", "not the nearest" and "outside the period".

    Raises ArchiveError as `read` does, and when no file is given.
    """
    if not paths:
        raise ArchiveError("No ISD file was given; fetch the stations of the period first.")
    positions = None if history is None else history.set_index("station_id")
    first, last = pd.Timestamp(start), pd.Timestamp(end)
    tables, rejections = [], []
    for batch in range(0, len(paths), BATCH):
        files = [Path(path) for path in paths[batch : batch + BATCH]]
        raw = pd.concat(
            [_parse(file, positions) for file in files],
            keys=[str(file) for file in files],
            names=["file", None],
        )
        table, reasons = judge(raw.reset_index("file"), positions)
        table["report_time"] = table["time"]
        if hours is not None:
            table = assign_hours(table, reasons, hours, tolerance)
        # Whatever else is wrong with it: it belongs to another year's count.
        reasons.override((table["time"] < first) | (table["time"] > last), "outside the period")
        tables.append(table.loc[reasons.open, ["file", *COLUMNS, "report_time"]])
        rejections.append(_count(table, reasons))
    kept = pd.concat(tables, ignore_index=True)
    reasons = Reasons(len(kept))
    reasons.note(worse_duplicates(kept, reasons.open), "duplicate")
    rejections.append(_count(kept, reasons))
    kept = kept.loc[reasons.open, [*COLUMNS, "report_time"]]
    kept = kept.sort_values(["time", "station_id"], kind="stable", ignore_index=True)
    return kept, pd.concat(rejections, ignore_index=True)


def require(table: pd.DataFrame, rejected: pd.DataFrame, year: int) -> None:
    """Raise ArchiveError, with the reasons, where `ingest` kept no report of a year."""
    if table.empty:
        counts = rejected.groupby("reason")["rows"].sum().sort_values(ascending=False)
        reasons = ", ".join(f"{reason} {rows}" for reason, rows in counts.items()) or "no rows"
        raise ArchiveError(
            f"archives.stations: no report of {year} can be used ({reasons}); add files of that "
            "year, or mend archives.stations.history, tolerance_minutes or time.hours, or take "
            "stations out of every arm's streams"
        )


def fetch_history(target: Path | str, url: str = HISTORY_ADDRESS) -> Path:
    """Fetch the station list to `target`, unless it is there; return its path.

    Raises ArchiveError as fetch.download does, and when what came is not such a list.
    """
    target = Path(target)
    if target.exists():
        return target
    arrived = transfer.download(url, target.with_name(f"fetched-{target.name}"))
    try:
        read_history(arrived)
    except ArchiveError:
        arrived.unlink()
        raise
    return arrived.replace(target)


def fetch_year(
    year: int,
    stations: Iterable[str],
    folder: Path | str,
    format: str = "isd-lite",
    base_url: str | None = None,
    *,
    attempts: int = 5,
    first_wait: float = 1.0,
) -> list[Path]:
    """Fetch a year's files of some stations into `folder/{format}/{year}/`; return those there are.

    stations: station ids, 11 characters. format: isd-lite, global-hourly or full. base_url: None
    for NOAA's. Files already there are not asked for again; stations without a file for the year
    are recorded in `{format}/missing-{year}.json`.

    Raises ArchiveError for an unknown format, when no station has a file, and as
    fetch.download_all does.
    """
    if format not in ADDRESSES:
        raise ArchiveError(f"ISD has no format {format!r}; choose from {', '.join(ADDRESSES)}.")
    address, pattern = ADDRESSES[format]
    target = Path(folder) / format / str(year)
    names = [
        pattern.format(usaf=station[:6], wban=station[6:], year=year)
        for station in dict.fromkeys(stations)
    ]
    jobs = [(f"{base_url or address}/{year}/{name}", target / name) for name in names]
    return transfer.download_all(
        jobs, target.with_name(f"missing-{year}.json"), attempts=attempts, first_wait=first_wait
    )


def _parse(path: Path, positions: pd.DataFrame | None) -> pd.DataFrame:
    table = parse(path)
    if positions is None and (table["quality"] == "").all():
        raise ArchiveError(
            f"{path} is ISD-Lite, which holds no positions; give stations=read_history(path of "
            "isd-history.csv)."
        )
    return table


def _count(table: pd.DataFrame, reasons: Reasons) -> pd.DataFrame:
    """Rejected rows by file, station and reason."""
    rejected = table.loc[~reasons.open, ["file", "station_id"]]
    rejected = rejected.assign(reason=reasons.of[~reasons.open].astype(str))
    return rejected.value_counts(sort=False).rename("rows").reset_index()
