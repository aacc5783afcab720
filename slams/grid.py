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

from slams.errors import SlamsError
from slams.regridder import Regridder, latitude_bounds, longitude_bounds

__all__ = ["Grid", "Regridder", "bilinear", "global_mean", "regrid"]

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
    south, north = latitude_bounds(field.latitude.values)
    west, east = longitude_bounds(field.longitude.values)
    height = np.sin(np.radians(north)) - np.sin(np.radians(south))
    area = xr.DataArray(np.outer(height, east - west), dims=("latitude", "longitude"))
    with xr.set_options(keep_attrs=True):
        return field.weighted(area).mean(("latitude", "longitude"))
