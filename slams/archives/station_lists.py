"""The providers' lists of stations: where they are, and which report in a year."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slams.archives.report_rules import possible_elevation, possible_position
from slams.errors import ArchiveError

HISTORY_COLUMNS = ("USAF", "WBAN", "STATION NAME", "CTRY", "LAT", "LON", "ELEV(M)", "BEGIN", "END")
GHCNH_COLUMNS = ("GHCN_ID", "LATITUDE", "LONGITUDE", "ELEVATION", "STATE", "NAME")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def read_list(path: Path | str) -> pd.DataFrame:
    """A list of stations, ISD's or GHCNh's by what it holds; see `read_history`, `read_ghcnh`."""
    with _opened(Path(path)) as file:
        first = file.readline()
    return read_history(path) if "USAF" in first else read_ghcnh(path)


def read_history(path: Path | str) -> pd.DataFrame:
    """ISD's station list `isd-history.csv`.

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
            **_places(raw["LAT"], raw["LON"], raw["ELEV(M)"]),
            "begin": pd.to_datetime(raw["BEGIN"], format="%Y%m%d", errors="coerce"),
            "end": pd.to_datetime(raw["END"], format="%Y%m%d", errors="coerce"),
        }
    )
    table[["begin", "end"]] = table[["begin", "end"]].astype("datetime64[ns]")
    unnamed = (raw["USAF"] == "999999") & (raw["WBAN"] == "99999")
    last = ~table.sort_values("end", kind="stable").duplicated("station_id", keep="last")
    return _usable(table, unnamed, ~last.reindex(table.index), path)


def read_ghcnh(path: Path | str) -> pd.DataFrame:
    """GHCNh's station list `ghcnh-station-list.csv`, with or without its header line.

    Returns station_id (text), name, country (the first two letters of the id, a FIPS code),
    latitude, longitude (degrees, 0..360), elevation (m, NaN where the list has -999.9 or none).
    What is left out is counted as `read_history` does.

    Raises ArchiveError when the file is not such a list, or holds no station to use.
    """
    path = Path(path)
    with _opened(path) as file:
        header = "GHCN_ID" in file.readline()
    try:
        raw = pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            header=0 if header else None,
            usecols=list(GHCNH_COLUMNS) if header else list(range(len(GHCNH_COLUMNS))),
        )
    except (OSError, ValueError) as error:
        raise _no_list(path) from error
    raw.columns = pd.Index(GHCNH_COLUMNS) if not header else raw.columns
    ids = raw["GHCN_ID"].str.strip()
    if not ids.str.fullmatch(r"[0-9A-Za-z_-]{11}").all():
        raise _no_list(path)
    table = pd.DataFrame(
        {
            "station_id": ids,
            "name": raw["NAME"].str.strip(),
            "country": ids.str[:2],
            **_places(raw["LATITUDE"], raw["LONGITUDE"], raw["ELEVATION"]),
        }
    )
    none = pd.Series(False, index=table.index)
    return _usable(table, none, table.duplicated("station_id"), path)


def reporting(history: pd.DataFrame, year: int) -> pd.Series:
    """Ids of the stations whose period in the list of `read_history` reaches into a year."""
    begins = history["begin"] < pd.Timestamp(year + 1, 1, 1)
    ends = history["end"] >= pd.Timestamp(year, 1, 1)
    return history.loc[begins & ends, "station_id"].reset_index(drop=True)


def reporting_ghcnh(inventory: Path | str, year: int) -> list[str]:
    """Ids that GHCNh's `ghcnh-inventory.txt` says have reports in a year.

    The inventory has a line a station and year with the reports of every month, so that no file
    is asked for that is not there. Raises ArchiveError naming the file, and the line that is none.
    """
    path = Path(inventory)
    with _opened(path) as file:
        names = file.readline().split()
        if names[1:] != ["YEAR", *MONTHS]:
            raise ArchiveError(
                f"{path} is not GHCNh's ghcnh-inventory.txt: its first line does not name YEAR "
                "and the months; delete it and fetch it again."
            )
        found = []
        for number, line in enumerate(file, start=2):
            values = line.split()
            if not values:
                continue
            if len(values) != 14 or not all(re.fullmatch(r"\d+", text) for text in values[1:]):
                raise ArchiveError(
                    f"{path}, line {number}: not a station, a year and twelve counts; delete the "
                    "file and fetch it again."
                )
            if int(values[1]) == year and any(int(text) for text in values[2:]):
                found.append(values[0])
    return list(dict.fromkeys(found))


def _opened(path: Path) -> Any:
    try:
        return path.open(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read ({error.strerror}); fetch it first.") from error


def _no_list(path: Path) -> ArchiveError:
    return ArchiveError(
        f"{path} is not GHCNh's ghcnh-station-list.csv; delete it and fetch it again."
    )


def _places(latitude: pd.Series, longitude: pd.Series, elevation: pd.Series) -> dict[str, Any]:
    """Positions as numbers, NaN where the list has none or an impossible elevation."""
    height = pd.to_numeric(elevation, errors="coerce").astype(np.float64)
    return {
        "latitude": pd.to_numeric(latitude, errors="coerce").astype(np.float64),
        "longitude": pd.to_numeric(longitude, errors="coerce").astype(np.float64),
        "elevation": height.where(possible_elevation(height.to_numpy())),
    }


def _usable(
    table: pd.DataFrame, unnamed: pd.Series, repeated: pd.Series, path: Path
) -> pd.DataFrame:
    """The entries that can be used; the others counted by reason in `.attrs["rejected"]`."""
    position = possible_position(table["latitude"].to_numpy(), table["longitude"].to_numpy())
    reason = np.select(
        [
            unnamed.to_numpy(bool),
            table["name"].str.contains("BOGUS").to_numpy(bool),
            ~position,
            repeated.to_numpy(bool),
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
