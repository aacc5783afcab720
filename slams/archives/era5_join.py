"""A month's file out of its pieces, in the Climate Data Store's present netCDF layout."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

from slams.archives import era5
from slams.errors import ArchiveError
from slams.provenance import atomic

EPOCH = np.datetime64("1970-01-01", "s")
EXPERIMENTS = ("0001", "0005")  # final, preliminary


def join(
    files: Sequence[Path],
    target: Path,
    lacks: Callable[[Path], str | None],
    attributes: dict[str, str],
) -> None:
    """Write one file of all times and levels that the files hold; they share points and members.

    Raises as `write` does, and ArchiveError where a file cannot be read or has other points.
    """
    outlines = [era5.outline(file) for file in files]
    times, levels = (np.unique(np.concatenate(axis)) for axis in zip(*outlines, strict=True))
    blocks = (block for file in files for block in era5.blocks(file))
    write(blocks, target, times, levels, lacks, attributes)


def write(
    blocks: Iterable[era5.Block],
    target: Path,
    times: NDArray[np.datetime64],
    levels: NDArray[np.float64],
    lacks: Callable[[Path], str | None],
    attributes: dict[str, str],
) -> None:
    """Write the blocks, which together hold all times and levels (hPa), to one file.

    Values are copied as float32, without loss where they came as float32 or less. The file is
    compressed, with a checksum for every field, and appears under its name only when it has been
    read through and `lacks` nothing. Memory stays within that of a block.

    Raises ArchiveError where blocks differ in points or members, or something is lacking.
    """
    with atomic(target) as partial:
        with netCDF4.Dataset(partial, "w", format="NETCDF4") as output:
            output.setncatts({"Conventions": "CF-1.7", **attributes})
            for block in blocks:
                if not output.variables:
                    _define(output, block, times, levels)
                _put(output, block, target)
        lacking = lacks(partial)
        if lacking is not None:
            raise ArchiveError(f"{target} was put together from its pieces, but {lacking}")


def _define(
    output: netCDF4.Dataset,
    block: era5.Block,
    times: NDArray[np.datetime64],
    levels: NDArray[np.float64],
) -> None:
    """Axes and variables; levels downwards, as the store has them."""
    field = block.field
    seconds = (times.astype("M8[s]") - EPOCH).astype(np.int64)
    axes: dict[str, tuple[str, np.ndarray, str]] = {}
    if "number" in field.dims:
        axes["number"] = ("i8", field["number"].values, "1")
    axes |= {
        "valid_time": ("i8", seconds, "seconds since 1970-01-01"),
        "pressure_level": ("f8", levels[::-1], "hPa"),
        "latitude": ("f8", field.latitude.values, "degrees_north"),
        "longitude": ("f8", field.longitude.values, "degrees_east"),
    }
    for name, (kind, values, units) in axes.items():
        output.createDimension(name, len(values))
        variable = output.createVariable(name, kind, (name,))
        variable.units = units
        variable[:] = values
    output["valid_time"].calendar = "proleptic_gregorian"
    output.createVariable("expver", str, ("valid_time",))
    lead = (1,) * (len(axes) - 2)
    data = output.createVariable(
        "t",
        "f4",
        tuple(axes),
        fill_value=np.float32(np.nan),
        chunksizes=(*lead, field.sizes["latitude"], field.sizes["longitude"]),
        zlib=True,
        complevel=1,
        shuffle=True,
        fletcher32=True,
    )
    data.setncatts({"units": "K", "standard_name": "air_temperature", "coordinates": "expver"})


def _put(output: netCDF4.Dataset, block: era5.Block, target: Path) -> None:
    """Write a block's values where its times and levels are."""
    field = block.field
    for name in ("latitude", "longitude", "number"):
        held = field[name].values if name in field.dims else np.zeros(0)
        there = output[name][:] if name in output.variables else np.zeros(0)
        if not np.array_equal(held, there):
            raise ArchiveError(
                f"{target}: its pieces differ in {name}; delete the folder of pieces, run again."
            )
    seconds = (field.time.values.astype("M8[s]") - EPOCH).astype(np.int64)
    places = np.searchsorted(output["valid_time"][:], seconds)
    heights = output["pressure_level"][:].tolist()
    data = output["t"]
    for entry, place in enumerate(places):
        output["expver"][place] = EXPERIMENTS[int(block.preliminary[entry])]
        for level in field.level.values:
            values = field.isel(time=entry).sel(level=level).values
            data[(..., place, heights.index(level), slice(None), slice(None))] = values
