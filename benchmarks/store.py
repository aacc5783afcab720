"""Windows a second: the store, and one Zarr a day opened by xarray, the paper's way.

    python benchmarks/store.py [--days 90]

All hold the same random fields (10 levels, 120 x 240 cells, float32), in a temporary folder, and
are read warm by one process: windows of five days, as a training takes them. The daily Zarrs are of
format 3, today's default, and of format 2, that of the paper's time, with xarray's own chunks and
compression. A round reads windows in every way; the table shows the median, least and largest rate
over the rounds, and the median of the rounds' ratios to the store's.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from slams.store import Store, StoreWriter

LEVELS, ROWS, COLUMNS, WINDOW = 10, 120, 240, 5
FORMATS: tuple[Literal[2, 3], ...] = (3, 2)


def write_store(path: Path, fields: np.ndarray, times: np.ndarray) -> Store:
    """The fields as SLAMS keeps them."""
    writer = StoreWriter(path, fields.shape[1:], len(fields))
    writer.add(fields)
    number = np.zeros(len(fields), np.int64)
    writer.close(xr.Dataset(coords={"time": ("field", times), "number": ("field", number)}))
    return Store(path)


def write_days(
    folder: Path, fields: np.ndarray, times: np.ndarray, zarr_format: Literal[2, 3]
) -> list[Path]:
    """The fields as one Zarr a day."""
    dims = ("time", "level", "latitude", "longitude")
    paths = []
    for field, moment in zip(fields, times, strict=True):
        path = folder / f"{np.datetime_as_string(moment, 'D')}.zarr{zarr_format}"
        day = xr.Dataset({"t": (dims, field[None])}, coords={"time": [moment]})
        day.to_zarr(path, zarr_format=zarr_format, consolidated=zarr_format == 2)
        paths.append(path)
    return paths


def window_of_days(paths: list[Path], start: int) -> np.ndarray:
    """A window of days, each opened anew."""
    days = []
    for path in paths[start : start + WINDOW]:
        with xr.open_zarr(path, consolidated=path.suffix == ".zarr2") as dataset:
            days.append(dataset["t"].values[0])
    return np.stack(days)


def rate(read: Callable[[int], np.ndarray], starts: np.ndarray) -> float:
    """Windows a second."""
    begin = time.perf_counter()
    for start in starts:
        read(int(start))
    return len(starts) / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    fields = rng.standard_normal((options.days, LEVELS, ROWS, COLUMNS), dtype=np.float32)
    times = np.datetime64("2001-01-01", "ns") + np.arange(options.days) * np.timedelta64(1, "D")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = write_store(folder / "train.nc", fields, times)
        ways = {
            f"one Zarr (format {number}) a day": write_days(folder, fields, times, number)
            for number in FORMATS
        }
        for days in ways.values():
            assert np.array_equal(window_of_days(days, 3), store.window(3, WINDOW))
        rates: dict[str, list[float]] = {way: [] for way in [*ways, "store"]}
        for _ in range(options.rounds + 1):
            starts = rng.integers(0, options.days - WINDOW + 1, 600)
            for way, days in ways.items():
                rates[way].append(rate(partial(window_of_days, days), starts[:12]))
            rates["store"].append(rate(partial(store.window, length=WINDOW), starts))
    print("| way | windows a second: median | least | largest | the store's over it |")
    print("|---|---|---|---|---|")
    for way, found in rates.items():
        warm = np.array(found[1:])  # the first round warms the page cache
        ratio = np.median(np.array(rates["store"][1:]) / warm)
        print(
            f"| {way} | {np.median(warm):.0f} | {min(warm):.0f} | {max(warm):.0f} | {ratio:.0f} |"
        )


if __name__ == "__main__":
    main()
