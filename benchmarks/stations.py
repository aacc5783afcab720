"""How fast station files are read, and how much memory a year of the world's stations takes.

    python benchmarks/stations.py                 # rows a second, beside pandas.read_fwf
    python benchmarks/stations.py FILE ...        # the same of given files, such as real ones
    python benchmarks/stations.py --year 10000    # so many stations' hourly year to Parquet

Made-up files hold an hourly year of a station. Times are those of the processor, medians of
REPEATS rounds, in each of which every reader takes its turn, so that they share what else the
machine has to do. One process, one core; text is decompressed before, `read` begins with the file.
"""

import argparse
import gzip
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from slams.archives import ghcnh, isd, station_files, station_ingest
from slams.archives.station_text import contents, lines_of

REPEATS = 9
YEAR = 2015
ID = "722540-13904"
LITE_WIDTHS = [4, 3, 3, 3] + 8 * [6]
# What our reader takes of a full record: length, station, time, position, type, elevation,
# temperature and its code.
FULL_COLUMNS = [(0, 4), (4, 15), (15, 27), (28, 34), (34, 41), (41, 46), (46, 51)]
FULL_COLUMNS += [(87, 92), (92, 93)]
VARIANTS = 20  # different files behind the many of a made-up year


def hours() -> pd.DatetimeIndex:
    """The hours of a year."""
    return pd.date_range(f"{YEAR}-01-01", f"{YEAR}-12-31T23:00", freq="h")


def lite_text(rng: np.random.Generator) -> str:
    """An hourly year of ISD-Lite."""
    tenths = rng.integers(-200, 350, len(hours()))
    return "".join(
        f"{t:%Y %m %d %H}{value:6d}   -50 10132   270    51     8     0 -9999\n"
        for t, value in zip(hours(), tenths, strict=True)
    )


def full_text(rng: np.random.Generator) -> str:
    """The same in the full format, with a variable part of 100 to 300 characters."""
    tenths = rng.integers(-200, 350, len(hours()))
    rest = ["ADDAA101000095" + "REMMET" + "x" * int(n) for n in rng.integers(80, 280, len(tenths))]
    return "".join(
        f"{len(more):04d}{ID.replace('-', '')}{t:%Y%m%d%H%M}4+30183-097680FM-15+0151KAUS V020"
        f"2705N005152200059N0160935N5{value:+05d}5-00505101325{more}\n"
        for t, value, more in zip(hours(), tenths, rest, strict=True)
    )


def hourly_text(rng: np.random.Generator) -> str:
    """The same as global-hourly CSV."""
    names = "STATION,DATE,SOURCE,LATITUDE,LONGITUDE,ELEVATION,NAME,REPORT_TYPE,CALL_SIGN,"
    names += "QUALITY_CONTROL,WND,CIG,VIS,TMP,DEW,SLP,AA1,GF1,REM\n"
    tenths = rng.integers(-200, 350, len(hours()))
    return names + "".join(
        f'"{ID.replace("-", "")}","{t:%Y-%m-%dT%H:%M:%S}","4","30.183","-97.68","151.0","AUSTIN",'
        f'"FM-15","KAUS ","V020","270,5,N,0051,5","22000,5,9,N","016093,5,N,5","{value:+05d},5",'
        '"-0050,5","10132,5","01,0000,9,5","00,5","MET10512/31/14 KAUS 311751Z, and so on"\n'
        for t, value in zip(hours(), tenths, strict=True)
    )


def ghcnh_text(rng: np.random.Generator) -> str:
    """The same as GHCNh, with 39 variables of which most are blank."""
    ends = ["", "_Measurement_Code", "_Quality_Code", "_Report_Type", "_Source_Code"]
    ends += ["_Source_Station_ID"]
    variables = ["temperature", *(f"variable_{i}" for i in range(37)), "REM"]
    names = "STATION|Station_name|DATE|Year|Month|Day|Hour|Minute|LATITUDE|LONGITUDE|ELEVATION|"
    names += "|".join(f"{variable}{end}" for variable in variables for end in ends)
    tenths = rng.integers(-200, 350, len(hours()))
    seen = "|".join(["5.1||5|FM15|343|722540-13904"] * 9 + ["|||||"] * 29)
    return (
        names
        + "\n"
        + "".join(
            f"USW00013904|AUSTIN|{t:%Y-%m-%dT%H:%M:%S}|{t:%Y|%m|%d|%H|%M}|30.1831|-97.6799|151.2|"
            f"{value / 10}||5|FM15|343|722540-13904|{seen}\n"
            for t, value in zip(hours(), tenths, strict=True)
        )
    )


def seconds(calls: list[Callable[[], object]]) -> list[float]:
    """The median processor time of each call, made in turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(REPEATS):
        for call, took in zip(calls, times, strict=True):
            call()  # so that none pays for what the one before left in the caches
            began = time.process_time()
            call()
            took.append(time.process_time() - began)
    return [median(took) for took in times]


def fixed_width(text: bytes, format: str) -> Callable[[], object] | None:
    """pandas.read_fwf on the text, where its columns are fixed."""
    if format == "isd-lite":
        return lambda: pd.read_fwf(io.BytesIO(text), widths=LITE_WIDTHS, header=None)
    if format == "isd":
        names = list("abcdefghi")
        return lambda: pd.read_fwf(
            io.BytesIO(text), colspecs=FULL_COLUMNS, names=names, header=None, encoding="latin-1"
        )
    return None


def measure(path: Path, stations: pd.DataFrame) -> dict[str, object]:
    """Rows a second of one file: from its text, the whole of `read`, and of pandas.read_fwf."""
    text = lines_of(contents(path), path)
    reader = station_files.reader_of(text, path)
    name = reader.__module__.rpartition(".")[2]
    format = {
        "isd_lite": "isd-lite",
        "isd_full": "isd",
        "isd_hourly": "global-hourly",
        "ghcnh_format": "ghcnh",
    }[name]
    rows = len(reader(text, path))
    read = ghcnh.read if format == "ghcnh" else isd.read
    other = fixed_width(text, format)
    calls = [lambda: reader(text, path), lambda: read(path, stations), *([other] if other else [])]
    parsed, whole, *rest = seconds(calls)
    slow = rest[0] if rest else None
    return {
        "file": path.name,
        "format": format,
        "rows": rows,
        "text, M rows/s": rows / parsed / 1e6,
        "read, M rows/s": rows / whole / 1e6,
        "read_fwf, M rows/s": rows / slow / 1e6 if slow else np.nan,
        "text / read_fwf": slow / parsed if slow else np.nan,
        "read / read_fwf": slow / whole if slow else np.nan,
    }


def listed(names: list[str]) -> pd.DataFrame:
    """A list of as many stations as the real one, these among them."""
    rng = np.random.default_rng(1)
    others = [f"{900000 + i}99999" for i in range(27_000 - len(names))]
    return pd.DataFrame(
        {
            "station_id": [*names, *others],
            "latitude": rng.uniform(-80, 80, 27_000),
            "longitude": rng.uniform(0, 360, 27_000),
            "elevation": rng.uniform(0, 3000, 27_000),
        }
    )


def speed(paths: list[Path]) -> None:
    """Print the table of rows a second."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        if not paths:
            made = {
                f"{ID}-{YEAR}": lite_text,
                "full": full_text,
                f"{ID.replace('-', '')}.csv": hourly_text,
                f"GHCNh_USW00013904_{YEAR}.psv": ghcnh_text,
            }
            paths = [Path(folder) / name for name in made]
            for path, text in zip(paths, made.values(), strict=True):
                path.write_text(text(rng))
            packed = Path(folder) / f"{ID}-{YEAR}.gz"
            packed.write_bytes(gzip.compress(paths[0].read_bytes(), 6))
            paths.append(packed)
        ids = [ID.replace("-", ""), *(path.name[:12].replace("-", "") for path in paths)]
        stations = listed(list(dict.fromkeys(ids)))
        table = pd.DataFrame([measure(path, stations) for path in paths])
    print(table.to_string(index=False, float_format=lambda value: f"{value:.2f}"))


def make_year(folder: Path, count: int) -> None:
    """`count` files of ISD-Lite: links to a few different ones."""
    rng = np.random.default_rng(2)
    variants = []
    for number in range(VARIANTS):
        path = folder / f"variant-{number}"
        path.write_bytes(gzip.compress(lite_text(rng).encode(), 6))
        variants.append(path)
    for number in range(count):
        os.link(variants[number % VARIANTS], folder / f"{100000 + number}-99999-{YEAR}.gz")


def ingest_year(folder: Path, wanted: list[int] | None) -> None:
    """Ingest the files of `make_year` and print what came of it."""
    paths = sorted(folder.glob("*.gz"))
    stations = listed([path.name[:6] + path.name[7:12] for path in paths])
    began, spent = time.perf_counter(), time.process_time()
    target = folder / "stations" / f"year={YEAR}" / "reports.parquet"
    account = station_ingest.ingest(
        paths, stations, f"{YEAR}-01-01", f"{YEAR}-12-31T23:59:59", target, hours=wanted
    )
    took, spent = time.perf_counter() - began, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rows = account.rows + int(account.rejected["rows"].sum())
    print(
        f"{len(paths):,} files, {rows:,} rows read, {account.rows:,} kept, hours "
        f"{wanted or 'all'}: {took:.0f} s, {spent:.0f} s of a core ({rows / spent / 1e6:.2f} "
        "M rows/s), at most "
        f"{account.most_held:,} rows held, {peak:.2f} GiB of memory, "
        f"{target.stat().st_size / 1e6:.0f} MB of Parquet",
        flush=True,
    )


def main() -> None:
    """Choose by the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--year", type=int, metavar="STATIONS")
    parser.add_argument("--ingest", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--hours", type=int, nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ingest:
        ingest_year(given.ingest, given.hours or None)
    elif given.year:
        with tempfile.TemporaryDirectory() as folder:
            make_year(Path(folder), given.year)
            for wanted in ([], ["--hours", "0"]):
                # A process of its own, whose memory is that of the ingest alone.
                command = [sys.executable, __file__, "--ingest", folder, *wanted]
                subprocess.run(command, check=True)
    else:
        speed(given.files)


if __name__ == "__main__":
    main()
