"""A full GridSat-B1 image to cells of 1.5 degrees: SLAMS beside coarsening and interpolation.

    python benchmarks/image.py

The image of 2000 x 5143 pixels is made up: a smooth field with noise, a fifth of the pixels and one
sector missing. A round regrids it in both ways with one thread; the table shows the median and
least CPU time, and the largest error against the direct area-weighted mean of the seen parts of 200
cells in float64.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import xarray as xr

from slams.grid import Grid, Regridder
from slams.regridder import latitude_bounds, longitude_bounds

LATITUDE = -70 + 0.07 * np.arange(2000)
LONGITUDE = -180 + 0.07 * np.arange(5143)
GRID = Grid(1.5)


def image() -> np.ndarray:
    """Brightness temperature in K, float32, NaN where missing."""
    rng = np.random.default_rng(0)
    phi, lam = np.radians(LATITUDE)[:, None], np.radians(LONGITUDE)[None]
    smooth = 270 + 30 * np.cos(phi) + 10 * np.sin(3 * lam) * np.cos(phi)
    values = (smooth + 15 * rng.standard_normal(smooth.shape)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, 2000:2300] = np.nan
    return values


def coarsen(values: np.ndarray) -> np.ndarray:
    """The usual short way: means of blocks of about the cells' size, then interpolation."""
    field = xr.DataArray(
        values, coords={"lat": LATITUDE, "lon": LONGITUDE % 360}, dims=("lat", "lon")
    )
    blocks = field.coarsen(lat=21, lon=21, boundary="trim").mean().sortby("lon")
    return blocks.interp(lat=GRID.latitude, lon=GRID.longitude).values


def overlap(
    west: np.ndarray, east: np.ndarray, left: float, right: float, period: float = np.inf
) -> np.ndarray:
    """Length that intervals share with one interval, on a line or a circle."""
    turns = [0.0] if np.isinf(period) else [-period, 0.0, period]
    shared = [np.minimum(east + t, right) - np.maximum(west + t, left) for t in turns]
    return np.clip(shared, 0.0, None).sum(axis=0)


def direct(values: np.ndarray, row: int, column: int) -> float:
    """The area-weighted mean of what was seen in one cell, pixel by pixel, in float64."""
    south, north = (np.sin(np.radians(edge)) for edge in latitude_bounds(LATITUDE))
    low, high = np.sin(np.radians(GRID.latitude_edges[[row + 1, row]]))
    heights = overlap(south, north, low, high)
    left, right = GRID.longitude_edges[[column, column + 1]]
    widths = overlap(*longitude_bounds(LONGITUDE), left, right, 360.0)
    i, j = np.flatnonzero(heights), np.flatnonzero(widths)
    part = values[np.ix_(i, j)].astype(np.float64)
    weights = np.outer(heights[i], widths[j]) * np.isfinite(part)
    return float(np.nansum(part * weights) / weights.sum()) if weights.any() else np.nan


def seconds(way: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> float:
    """CPU time of one image."""
    begin = time.process_time()
    way(values)
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    values = image()
    ways = {
        "SLAMS": Regridder(LATITUDE, LONGITUDE, GRID, minimum_coverage=0.0),
        "coarsen and interpolate": coarsen,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds + 1):
        for name, way in ways.items():
            times[name].append(seconds(way, values))
    rng = np.random.default_rng(1)
    cells = list(map(tuple, rng.integers((14, 0), (106, 240), (200, 2)).tolist()))
    truth = np.array([direct(values, *cell) for cell in cells])
    print("| way | CPU seconds: median | least | largest error, K | cells missing that are not |")
    print("|---|---|---|---|---|")
    for name, way in ways.items():
        result = way(values)
        found = np.array([result[cell] for cell in cells])
        error = np.nanmax(np.abs(found - truth))
        lost = int((np.isnan(found) & ~np.isnan(truth)).sum())
        taken = times[name][1:]
        print(f"| {name} | {np.median(taken):.3f} | {min(taken):.3f} | {error:.1e} | {lost} |")


if __name__ == "__main__":
    main()
