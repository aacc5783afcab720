"""Conservative regridding from latitude-longitude axes to the cells of a grid."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from slams.errors import SlamsError

if TYPE_CHECKING:
    from slams.grid import Grid

Floats = NDArray[np.float64]
BAND = 1 << 19  # bytes of a field that are regridded at a time


def latitude_bounds(latitude: ArrayLike) -> tuple[Floats, Floats]:
    """South and north edge of each row of an ordered axis, degrees; both of its shape.

    Edges lie midway between the points. An outermost row that leaves no room for another one
    before the pole reaches the pole (regular axes with or without the poles, Gaussian axes).
    """
    points = np.asarray(latitude, dtype=np.float64)
    step = np.diff(points)
    if points.ndim != 1 or points.size < 2 or not (np.all(step > 0) or np.all(step < 0)):
        raise SlamsError("A latitude axis must hold two rows or more, in one order, without gaps.")
    if np.abs(points).max() > 90.0 + 1e-4:
        raise SlamsError("A latitude axis lies outside -90..90; is it another coordinate?")
    edges = np.empty(points.size + 1)
    edges[1:-1] = 0.5 * (points[1:] + points[:-1])
    for end, row, size in ((0, 0, step[0]), (-1, -1, -step[-1])):
        room = 90.0 - abs(points[row])
        outwards = np.sign(-size)
        polewards = np.sign(points[row]) == outwards and room < 0.999 * abs(size)
        edges[end] = outwards * 90.0 if polewards else points[row] - 0.5 * size
    edges = edges.clip(-90.0, 90.0)
    return np.minimum(edges[1:], edges[:-1]), np.maximum(edges[1:], edges[:-1])


def longitude_bounds(longitude: ArrayLike) -> tuple[Floats, Floats]:
    """West and east edge of each column, degrees, east > west; both of the axis's shape.

    The columns may come in any order and range. An axis whose widest gap is no wider than one
    and a half of its columns closes around the date line; another is regional.
    """
    points = np.asarray(longitude, dtype=np.float64)
    if points.ndim != 1 or points.size < 2 or not np.all(np.isfinite(points)):
        raise SlamsError("A longitude axis must hold two finite columns or more.")
    order = np.argsort(points % 360.0, kind="stable")
    ring = points[order] % 360.0
    gaps = np.diff(ring, append=ring[0] + 360.0)
    # Start after the widest gap, so that a region across the date line is one piece.
    start = (int(np.argmax(gaps)) + 1) % points.size
    order, ring = np.roll(order, -start), np.roll(ring, -start)
    ring = np.where(ring < ring[0], ring + 360.0, ring)
    steps = np.diff(ring)
    gap = ring[0] + 360.0 - ring[-1]
    closed = gap <= 1.5 * np.median(steps)
    middle = 0.5 * (ring[1:] + ring[:-1])
    west, east = np.empty_like(ring), np.empty_like(ring)
    west[1:], east[:-1] = middle, middle
    west[0] = ring[0] - 0.5 * (gap if closed else steps[0])
    east[-1] = ring[-1] + 0.5 * (gap if closed else steps[-1])
    back = np.argsort(order)
    return west[back], east[back]


def _overlap(low: Floats, high: Floats, target_low: Floats, target_high: Floats) -> Floats:
    """Length shared by every target interval (rows) and source interval (columns)."""
    upper = np.minimum(high[None], target_high[:, None])
    shared = upper - np.maximum(low[None], target_low[:, None])
    return np.where(shared > 1e-12, shared, 0.0)


class Regridder:
    """Conservative regridding from one latitude-longitude axis pair to a grid.

    A target cell is the mean of what was seen in it, weighted by the area that it shares with
    each source cell (first-order conservative; Jones 1999, Mon. Wea. Rev. 127, 2204, eq. 6 with
    constant fields in the cells). Both weights and areas are products of a latitude part and a
    longitude part, so that two small sparse matrices do the work, a band of rows at a time.

    latitude, longitude: degrees, in either order, in -180..180 or 0..360.
    minimum_coverage: a target cell of whose area a smaller fraction was seen is missing.

    Raises SlamsError when an axis cannot be one of latitudes or longitudes.
    """

    def __init__(
        self,
        latitude: ArrayLike,
        longitude: ArrayLike,
        grid: "Grid",
        minimum_coverage: float = 0.5,
    ) -> None:
        if not 0.0 <= minimum_coverage <= 1.0:
            raise SlamsError(f"minimum_coverage is {minimum_coverage}; give a fraction, 0 to 1.")
        south, north = (np.sin(np.radians(edge)) for edge in latitude_bounds(latitude))
        west, east = longitude_bounds(longitude)
        rows, columns = grid.latitude_edges, grid.longitude_edges
        sines = np.sin(np.radians(rows))
        meridional = _overlap(south, north, sines[1:], sines[:-1])
        zonal = sum(
            _overlap(west + turn, east + turn, columns[:-1], columns[1:])
            for turn in (-360.0, 0.0, 360.0)
        )
        self.grid = grid
        self.minimum_coverage = minimum_coverage
        self.source_shape = (south.size, west.size)
        self._bands = _bands(meridional, west.size)
        self._zonal = csr_array(zonal)
        self._cell_area = np.outer(-np.diff(sines), np.diff(columns))

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Means over the grid's cells.

        values: (..., source latitude, source longitude), NaN where missing.
        Returns (..., latitude, longitude) in the same floating type (integers become float64);
        sums are accumulated in float64.
        """
        values = np.asarray(values)
        if values.shape[-2:] != self.source_shape:
            raise SlamsError(
                f"A field of shape {values.shape} does not lie on the regridder's "
                f"{self.source_shape[0]} x {self.source_shape[1]} points; make one for its axes."
            )
        kind = values.dtype if np.issubdtype(values.dtype, np.floating) else np.dtype(np.float64)
        flat = values.reshape(-1, *self.source_shape)
        result = np.empty((flat.shape[0], *self.grid.shape), dtype=kind)
        for index, field in enumerate(flat):
            result[index] = self._one(field)
        return result.reshape(*values.shape[:-2], *self.grid.shape)

    def _one(self, field: NDArray[Any]) -> Floats:
        centre = _middle(field)
        if centre is None:
            return np.full(self.grid.shape, np.nan)
        total = np.zeros((self.grid.shape[0], self.source_shape[1]))
        area = np.zeros_like(total)
        for band in self._bands:
            # Centred on the middle of the range: a constant then comes through to the last bit.
            anomaly = field[band.rows] - np.float64(centre)
            missing = np.isnan(anomaly)
            if missing.any():
                anomaly[missing] = 0.0
                area[band.targets] += band.weights @ (~missing).astype(np.float64)
            else:
                area[band.targets] += band.full[:, None]
            total[band.targets] += band.weights @ anomaly
        total, area = (self._zonal @ total.T).T, (self._zonal @ area.T).T
        enough = (area > 0.0) & (area >= (self.minimum_coverage - 1e-9) * self._cell_area)
        mean = np.full(self.grid.shape, np.nan)
        np.divide(total, area, out=mean, where=enough)
        return mean + centre


@dataclass(frozen=True)
class _Band:
    """Some source rows, the target rows that they reach, and the weights from one to the other."""

    rows: slice
    targets: slice
    weights: Any
    full: Floats


def _bands(meridional: Floats, columns: int) -> list[_Band]:
    """The weights from source rows to target rows, in bands that fit a processor's cache."""
    bands = []
    height = max(1, BAND // (8 * columns))
    for start in range(0, meridional.shape[1], height):
        part = meridional[:, start : start + height]
        reached = np.flatnonzero(part.any(axis=1))
        if reached.size:
            targets = slice(int(reached[0]), int(reached[-1]) + 1)
            rows, weights = slice(start, start + height), part[targets]
            bands.append(_Band(rows, targets, csr_array(weights), weights.sum(axis=1)))
    return bands


def _middle(field: NDArray[Any]) -> float | None:
    """A value in the middle of a field's, judged by some of them; None where nothing is seen."""
    for some in (field[::16, ::16], field):
        low, high = np.fmin.reduce(some, axis=None), np.fmax.reduce(some, axis=None)
        if not np.isnan(low):
            return 0.5 * float(low) + 0.5 * float(high)
    return None
