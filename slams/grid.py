"""Cells on the sphere: centres, edges and areas; conservative regridding; values at points.

All fields of SLAMS live on the cells of one `Grid`. Latitude is in degrees north (north first),
longitude in degrees east (0 to 360). A source may come on any latitudes and longitudes: its
values are taken as means over cells whose edges lie midway between its points.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from slams.errors import SlamsError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Global cells of equal extent in degrees.

    spacing: degrees; 180 must be a multiple of it. 1.5 gives 120 x 240 cells with centres at
    89.25 ... -89.25 north and 0.75 ... 359.25 east.

    Raises SlamsError when the spacing does not divide 180 degrees.
    """

    spacing: float

    def __post_init__(self) -> None:
        rows = 180.0 / self.spacing if self.spacing > 0 else 0.0
        if not 2 <= rows < 1e5 or abs(rows - round(rows)) > 1e-6 * rows:
            raise SlamsError(
                f"grid.spacing is {self.spacing}, which does not divide 180 degrees into rows; "
                "choose a value such as 5.625, 3, 1.5 or 0.25."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows = round(180.0 / self.spacing)
        return rows, 2 * rows

    @cached_property
    def latitude_edges(self) -> Floats:
        """Edges of the rows, degrees north, from 90 to -90; shape (rows + 1,)."""
        return np.linspace(90.0, -90.0, self.shape[0] + 1)

    @cached_property
    def longitude_edges(self) -> Floats:
        """Edges of the columns, degrees east, from 0 to 360; shape (columns + 1,)."""
        return np.linspace(0.0, 360.0, self.shape[1] + 1)

    @cached_property
    def latitude(self) -> Floats:
        """Centres of the rows, degrees north, north first; shape (rows,)."""
        return 0.5 * (self.latitude_edges[1:] + self.latitude_edges[:-1])

    @cached_property
    def longitude(self) -> Floats:
        """Centres of the columns, degrees east, ascending in 0..360; shape (columns,)."""
        return 0.5 * (self.longitude_edges[1:] + self.longitude_edges[:-1])

    @cached_property
    def area_weights(self) -> Floats:
        """Area of one cell in each row, relative to the mean over all cells; shape (rows,).

        A zone between two parallels has the area 2 pi r^2 (sin north - sin south).
        """
        area = -np.diff(np.sin(np.radians(self.latitude_edges)))
        return area / area.mean()

    def coordinates(self) -> dict[Hashable, Any]:
        """Coordinates for xarray, `latitude` and `longitude`, with CF attributes."""
        north = {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}
        east = {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}
        return {
            "latitude": ("latitude", self.latitude, north),
            "longitude": ("longitude", self.longitude, east),
        }


def _latitude_bounds(latitude: ArrayLike) -> tuple[Floats, Floats]:
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


def _longitude_bounds(longitude: ArrayLike) -> tuple[Floats, Floats]:
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
    longitude part, so that two small sparse matrices do the work.

    latitude, longitude: degrees, in either order, in -180..180 or 0..360.
    minimum_coverage: a target cell of whose area a smaller fraction was seen is missing.

    Raises SlamsError when an axis cannot be one of latitudes or longitudes.
    """

    def __init__(
        self,
        latitude: ArrayLike,
        longitude: ArrayLike,
        grid: Grid,
        minimum_coverage: float = 0.5,
    ) -> None:
        if not 0.0 <= minimum_coverage <= 1.0:
            raise SlamsError(f"minimum_coverage is {minimum_coverage}; give a fraction, 0 to 1.")
        south, north = (np.sin(np.radians(edge)) for edge in _latitude_bounds(latitude))
        west, east = _longitude_bounds(longitude)
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
        self._meridional = csr_array(meridional)
        self._zonal = csr_array(zonal)
        self._cell_area = np.outer(-np.diff(sines), np.diff(columns))
        self._full_area = np.outer(meridional.sum(axis=1), np.asarray(zonal).sum(axis=1))

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

    def _sum(self, field: NDArray[Any]) -> Floats:
        return (self._zonal @ (self._meridional @ field).T).T

    def _one(self, field: NDArray[Any]) -> Floats:
        seen = ~np.isnan(field)
        if not seen.any():
            return np.full(self.grid.shape, np.nan)
        # Centred on the middle of the range: a constant then comes through to the last bit.
        low, high = np.fmin.reduce(field, axis=None), np.fmax.reduce(field, axis=None)
        centre = 0.5 * float(low) + 0.5 * float(high)
        if seen.all():
            total, area = self._sum(field - np.float64(centre)), self._full_area
        else:
            total = self._sum(np.where(seen, field - np.float64(centre), 0.0))
            area = self._sum(seen)
        enough = (area > 0.0) & (area >= (self.minimum_coverage - 1e-9) * self._cell_area)
        mean = np.full(self.grid.shape, np.nan)
        np.divide(total, area, out=mean, where=enough)
        return mean + centre


def regrid(field: xr.DataArray, grid: Grid, minimum_coverage: float = 0.5) -> xr.DataArray:
    """Conservative, missing-aware means of a field over the cells of a grid.

    field: dimensions latitude and longitude (degrees; cell centres or grid points) and any
    others, NaN where missing.
    Returns the field with latitude and longitude last, on the grid; name, attributes and other
    coordinates are kept. See `Regridder` for the method and the meaning of minimum_coverage.

    Raises SlamsError when the field has no such dimensions.
    """
    missing = {"latitude", "longitude"} - set(field.dims)
    if missing:
        raise SlamsError(
            f"The field {field.name!r} has dimensions {tuple(field.dims)}; rename its horizontal "
            "ones to latitude and longitude before regridding."
        )
    ordered = field.transpose(..., "latitude", "longitude")
    method = Regridder(ordered.latitude.values, ordered.longitude.values, grid, minimum_coverage)
    coordinates = {
        name: coordinate
        for name, coordinate in ordered.coords.items()
        if not {"latitude", "longitude"} & set(coordinate.dims)
    }
    return xr.DataArray(
        method(ordered.values),
        dims=ordered.dims,
        coords={**coordinates, **grid.coordinates()},
        name=field.name,
        attrs=field.attrs,
    )


def bilinear(
    grid: Grid, latitude: ArrayLike, longitude: ArrayLike
) -> tuple[NDArray[np.int64], Floats]:
    """Where and with which weights to read a field of the grid at points.

    latitude, longitude: degrees, shape (n,); longitudes of any turn.
    Returns indices (n, 4) into the flattened (latitude, longitude) field and weights (n, 4) that
    sum to one. Around the date line the columns close; poleward of the last row's centre the
    neighbour lies across the pole, in the same row at longitude + 180.

    Raises SlamsError when a position is missing or not on the sphere.
    """
    north = np.asarray(latitude, dtype=np.float64)
    east = np.asarray(longitude, dtype=np.float64)
    wrong = ~(np.isfinite(north) & np.isfinite(east) & (np.abs(north) <= 90.0))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise SlamsError(
            f"Position {first} is {north[first]} north, {east[first]} east, which is not on the "
            "sphere; drop such stations first."
        )
    rows, columns = grid.shape
    row = (90.0 - north) * (rows / 180.0) - 0.5
    column = (east % 360.0) * (columns / 360.0) - 0.5
    upper, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    down, right = row - upper, column - left
    indices, weights = [], []
    for i, vertical in ((upper, 1.0 - down), (upper + 1, down)):
        across = (i < 0) | (i >= rows)
        for j, horizontal in ((left, 1.0 - right), (left + 1, right)):
            turned = (j + np.where(across, columns // 2, 0)) % columns
            indices.append(i.clip(0, rows - 1) * columns + turned)
            weights.append(vertical * horizontal)
    return np.stack(indices, axis=-1), np.stack(weights, axis=-1)


def global_mean(field: xr.DataArray) -> xr.DataArray:
    """Area-weighted mean over latitude and longitude of the cells that are not missing.

    field: dimensions latitude, longitude (any regular or Gaussian axes) and any others.
    Returns the other dimensions, in the field's unit; NaN where nothing was seen.
    """
    south, north = _latitude_bounds(field.latitude.values)
    west, east = _longitude_bounds(field.longitude.values)
    height = np.sin(np.radians(north)) - np.sin(np.radians(south))
    area = xr.DataArray(np.outer(height, east - west), dims=("latitude", "longitude"))
    with xr.set_options(keep_attrs=True):
        return field.weighted(area).mean(("latitude", "longitude"))
