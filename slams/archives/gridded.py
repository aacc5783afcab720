"""What the readers of gridded channels share: the packing undone once, gaps, units and axes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slams.archives.fetch import sha256
from slams.archives.netcdf import horizontal, opened, times
from slams.channels import Channel
from slams.errors import ArchiveError

NETCDF_FILL = 9.969209968386869e36  # what the netCDF library writes where nothing was written
MOSTLY = 0.5  # share of the values seen that may lie outside the possible ones
FEW = 0.01  # share of all values below which nothing is concluded from those seen
SECTORS = 12  # of longitude, in which missing pixels are told

Choose = Callable[[NDArray[np.datetime64]], NDArray[np.intp]]


@dataclass(frozen=True)
class Stored:
    """How a product stores a channel.

    ``variable`` in files of ``product``; ``units`` it may bear, where the values alone do not tell
    its unit. Integers are packed: value = ``scale`` x integer + ``offset``, missing where ``fill``,
    should a file not say it itself; without a scale a file must say it.
    """

    product: str
    variable: str
    units: frozenset[str] | None = None
    scale: float | None = None
    offset: float = 0.0
    fill: int | None = None


def read(
    path: Path, channel: Channel, stored: Stored, choose: Choose | None = None
) -> xr.DataArray:
    """A file's field of a channel.

    path: a file of the product, packed or decoded already, or one that holds `channel.field`
    (time, latitude, longitude) in the channel's unit. choose: given the file's times, the indices
    of those to read (one may come twice), so that no more of a long file is in memory; all, by
    default.

    Returns channel.field(time, latitude, longitude), float32, in the channel's unit, NaN where
    missing or impossible; in order of time, north first, longitude 0..360 ascending.

    Raises ArchiveError, which names the file, where it is damaged or of another product, and
    where most of its values are none of the channel.
    """
    path = Path(path)
    # Undecoded, so that the packing is undone exactly once, here.
    with _sound(path), opened(path, mask_and_scale=False) as dataset:
        variable = _variable(dataset, channel, stored, path)
        moments = times(dataset, "time", path)
        axes = horizontal(variable["latitude"].values, variable["longitude"].values, path)
        if variable.shape != (len(moments), axes[2].size, variable.sizes["longitude"]):
            raise ArchiveError(
                f"{path}: {variable.name} is not of its axes' length; it is damaged."
            )
        order = np.argsort(moments, kind="stable")
        if choose is not None:
            order = order[choose(moments[order])]
        asked, back = np.unique(order, return_inverse=True)
        raw = variable.isel(time=_slice(asked)).values[back]
        attributes = dict(variable.attrs)
    if variable.name == stored.variable:
        values = _unpacked(raw, attributes, channel, stored, path)
    else:
        values = _decoded(raw, attributes, channel, path)
    north, east, rows, columns = axes
    return xr.DataArray(
        values[:, rows][:, :, columns],
        dims=("time", "latitude", "longitude"),
        coords={
            "time": ("time", moments[order], {"standard_name": "time"}),
            "latitude": ("latitude", north, {"units": "degrees_north"}),
            "longitude": ("longitude", east, {"units": "degrees_east"}),
        },
        name=channel.field,
        attrs=channel.attributes,
    )


def _slice(indices: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Increasing indices as a slice where they are one: netCDF reads others one by one."""
    if len(indices) and indices[-1] - indices[0] == len(indices) - 1:
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    """What a damaged header or value makes xarray and netCDF stumble over becomes ArchiveError."""
    try:
        yield
    except (
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        ArithmeticError,
        MemoryError,
    ) as error:
        raise ArchiveError(
            f"{path} cannot be read ({type(error).__name__}: {error}); it is damaged or of another "
            "product: delete it and fetch it again."
        ) from error


def _variable(dataset: xr.Dataset, channel: Channel, stored: Stored, path: Path) -> xr.DataArray:
    for name in (stored.variable, channel.field):
        if name in dataset.data_vars:
            variable = dataset[name]
            break
    else:
        raise ArchiveError(
            f"{path} holds neither {stored.variable} ({stored.product}) nor {channel.field} but "
            f"{sorted(map(str, dataset.data_vars))}; give files of archives.imagery.channels."
        )
    names = {"lat": "latitude", "lon": "longitude"}
    variable = variable.rename({old: new for old, new in names.items() if old in variable.dims})
    if variable.dims != ("time", "latitude", "longitude"):
        raise ArchiveError(
            f"{path}: {variable.name} has dimensions {variable.dims}, not time, latitude and "
            "longitude; it is of another product."
        )
    return variable


def _unpacked(
    raw: NDArray[Any], attributes: dict[str, Any], channel: Channel, stored: Stored, path: Path
) -> NDArray[np.float32]:
    """Values of a product's file. Floating ones were unpacked by whoever wrote the file."""
    unit = str(attributes.get("units", ""))
    if stored.units is not None and unit not in stored.units:
        raise ArchiveError(
            f"{path}: {stored.variable} is in {unit!r}, not in {channel.units}; convert it first."
        )
    if np.issubdtype(raw.dtype, np.floating):
        values = raw.astype(np.float32)
        seen = np.isfinite(values) & (np.abs(values) < np.float32(0.99 * NETCDF_FILL))
    elif np.issubdtype(raw.dtype, np.integer):
        scale = attributes.get("scale_factor", stored.scale)
        if scale is None:
            raise ArchiveError(
                f"{path}: {stored.variable} holds packed integers without a scale_factor; it was "
                "rewritten wrongly: fetch it again."
            )
        values = raw.astype(np.float32)
        values *= np.float32(scale)
        values += np.float32(attributes.get("add_offset", stored.offset))
        seen = np.ones(raw.shape, bool)
    else:
        raise ArchiveError(f"{path}: {stored.variable} holds {raw.dtype}, no numbers.")
    for mark in _marks(attributes, stored):
        # Compared in the file's own type: what is cut to it marks nothing.
        if np.can_cast(np.min_scalar_type(mark), raw.dtype) or raw.dtype.kind == "f":
            seen &= raw != raw.dtype.type(mark)
    possible = seen & (values >= channel.limits[0]) & (values <= channel.limits[1])
    impossible = np.count_nonzero(seen) - np.count_nonzero(possible)
    if impossible > MOSTLY * np.count_nonzero(seen) and np.count_nonzero(seen) > FEW * seen.size:
        raise ArchiveError(
            f"{path}: most of {stored.variable} lies outside {channel.limits[0]:g} to "
            f"{channel.limits[1]:g} {channel.units}, such as {values[seen & ~possible][0]:g}; it "
            "is damaged, in another unit, or packed without saying how: fetch it again."
        )
    values[~possible] = np.nan
    return values


def _marks(attributes: dict[str, Any], stored: Stored) -> list[Any]:
    """What marks a missing value."""
    marks = [] if stored.fill is None else [stored.fill]
    for name in ("_FillValue", "missing_value"):
        marks += list(np.atleast_1d(attributes.get(name, [])))
    return marks


def _decoded(
    raw: NDArray[Any], attributes: dict[str, Any], channel: Channel, path: Path
) -> NDArray[np.float32]:
    """Values of a file of other origin, which must be plain and in the channel's unit."""
    unit = attributes.get("units")
    packed = {"scale_factor", "add_offset"} & set(attributes)
    if unit != channel.units or packed or not np.issubdtype(raw.dtype, np.floating):
        raise ArchiveError(
            f"{path}: {channel.field} must be unpacked floating values in {channel.units}, not "
            f"{raw.dtype} in {unit!r}; convert it first."
        )
    values = raw.astype(np.float32)
    values[values == np.float32(attributes.get("_FillValue", np.nan))] = np.nan
    low, high = channel.limits
    wrong = (values < low) | (values > high)
    if wrong.any():
        raise ArchiveError(
            f"{path}: {channel.field} holds {float(values[wrong][0]):g} {channel.units}, outside "
            f"{low:g}..{high:g} {channel.units}; mark missing values as NaN or mend the unit."
        )
    return values


def facts(path: Path, pieces: Iterable[xr.DataArray]) -> dict[str, Any]:
    """What a file holds, as JSON: path, bytes, sha256, times (ISO, UTC) and what is missing.

    ``pieces`` are its field (time, latitude, longitude), some times each. missing_fraction is of
    all pixels; missing_by_sector of those in each sector of 30 degrees of longitude, from 0
    eastwards: a lost satellite shows as a few sectors without a pixel. Both are from 0 to 1, and
    null where there is no pixel at all.
    """
    path = Path(path)
    moments: list[str] = []
    size, lost = np.zeros(SECTORS), np.zeros(SECTORS)
    for piece in pieces:
        moments += np.datetime_as_string(piece["time"].values, unit="s").tolist()
        missing = np.isnan(piece.values)
        sector = (piece["longitude"].values * (SECTORS / 360)).astype(int)
        size += np.bincount(sector, minlength=SECTORS) * np.prod(missing.shape[:2])
        lost += np.bincount(sector, missing.sum(axis=(0, 1)), minlength=SECTORS)
    shares = [round(float(m / n), 4) if n else None for m, n in zip(lost, size, strict=True)]
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "times": moments,
        "missing_fraction": float(lost.sum() / size.sum()) if size.any() else None,
        "missing_by_sector": shares,
    }
