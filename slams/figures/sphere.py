"""Drawing on the globe: cells in their true shape, coasts, on an area-true projection."""

from typing import Any, Final

import cartopy.crs as ccrs
import numpy as np
import xarray as xr
from matplotlib.colors import Colormap, Normalize
from numpy.typing import NDArray

Array = NDArray[np.float64]
PLATE: Final = ccrs.PlateCarree()
MOST_WITH_RIM: Final = 300  # stations; rims of more cover the map
COAST: Final = {"colors": "black", "linewidths": 0.6}


def projection() -> ccrs.Projection:
    """Equal Earth (Savric, Patterson and Jenny 2018): every cell as large as it is."""
    return ccrs.EqualEarth()


def draw_field(
    axes: Any,
    field: xr.DataArray,
    colours: str | Colormap,
    scale: Normalize,
    land_mask: xr.DataArray | None = None,
) -> Any:
    """Cells of one field (latitude, longitude), missing ones light grey; the mappable."""
    field = from_date_line(field)
    axes.set_facecolor("#e8e8e8")
    axes.set_global()
    image = axes.pcolormesh(
        _edges(field["longitude"].values),
        _edges(field["latitude"].values).clip(-90, 90),
        np.ma.masked_invalid(field.transpose("latitude", "longitude").values),
        cmap=colours,
        norm=scale,
        transform=PLATE,
        rasterized=True,
    )
    if land_mask is not None:
        draw_coast(axes, land_mask)
    axes.spines["geo"].set_linewidth(0.6)
    return image


def draw_coast(axes: Any, land_mask: xr.DataArray) -> None:
    """The half contour of the share of land (latitude, longitude); nothing where all is sea."""
    mask = from_date_line(land_mask).transpose("latitude", "longitude")
    if not float(mask.min()) < 0.5 < float(mask.max()):
        return
    # One column more on either side, or the coast would break at the date line.
    around = mask.pad(longitude=1, mode="wrap")
    longitude = np.pad(mask["longitude"].values, 1, mode="wrap")
    longitude[0] -= 360
    longitude[-1] += 360
    inside = longitude.clip(-180, 180)
    axes.contour(inside, mask["latitude"].values, around.values, [0.5], transform=PLATE, **COAST)


def draw_places(axes: Any, latitude: Array, longitude: Array) -> None:
    """Station positions (n,), degrees; few have a white rim, which is seen on dark cells."""
    axes.scatter(
        longitude,
        latitude,
        s=float(np.clip(900 / len(latitude), 0.4, 8)),
        color="black",
        edgecolors="white",
        linewidths=0.3 if len(latitude) <= MOST_WITH_RIM else 0.0,
        transform=PLATE,
        zorder=4,
    )


def symmetric(*fields: xr.DataArray) -> Normalize:
    """A scale centred at zero that holds all but the few largest departures."""
    sizes = np.concatenate([np.abs(field.values).ravel() for field in fields])
    worst = float(np.nanquantile(sizes, 0.998)) if np.isfinite(sizes).any() else 0.0
    return Normalize(-(worst or 1.0), worst or 1.0)


def common(*fields: xr.DataArray) -> Normalize:
    """A scale for all of the fields, but for their few most extreme cells."""
    values = np.concatenate([field.values.ravel() for field in fields])
    return Normalize(*np.nanquantile(values, [0.002, 0.998]))


def from_zero(field: xr.DataArray) -> Normalize:
    """A scale from zero, for sizes."""
    return Normalize(0, float(np.nanquantile(field, 0.998)) or 1.0)


def from_date_line(field: xr.DataArray) -> xr.DataArray:
    """Longitudes -180..180 in order, so that no cell crosses the map's rim."""
    east = (field["longitude"].astype(np.float64) + 180) % 360 - 180
    return field.assign_coords(longitude=east).sortby("longitude")


def _edges(centres: Array) -> Array:
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])
