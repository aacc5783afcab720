"""The training store: one uncompressed float32 array a split, memory-mapped.

``<split>.npy`` holds normalised fields (field, channel, latitude, longitude), for temperature
the channels are the levels and for latents the latent channels. ``<split>.nc`` beside it says
what they are: coordinates, time and ensemble member of every field, the version of this layout,
the array's hash, where it comes from. A plain array is read two hundred times faster than one
chunked file a day (docs/benchmarks.md).
"""

import hashlib
import math
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import xarray as xr

from slams import room, series
from slams.errors import SlamsError
from slams.netcdf import open_dataset
from slams.provenance import atomic, file_hash
from slams.statistics import Normalisation

LAYOUT = "1"  # of the two files; a store of another one is not read


class Store:
    """A split of the store, read through a memory map.

    ``fields`` (field, channel, latitude, longitude) float32, read only; ``times`` (field,)
    datetime64[ns] UTC; ``members`` (field,) int; ``description`` the xarray Dataset beside it.
    Raises SlamsError where one of the two files is absent, is cut, or is of another layout, or
    where they do not belong together.
    """

    def __init__(self, description: Path | str) -> None:
        description = self.path = Path(description)
        array = self.array = description.with_suffix(".npy")
        if not description.is_file() or not array.is_file():
            raise SlamsError(
                f"store {description}: it and {array.name} are not both there; build it"
            )
        remedy = "delete both files and build it again"
        try:
            with open_dataset(description) as dataset:
                self.description = dataset.load()
            self.fields = np.load(array, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise SlamsError(f"store {description}: cannot be read ({error}); {remedy}") from error
        layout = self.description.attrs.get("layout")
        if layout != LAYOUT:
            raise SlamsError(f"store {description}: is of layout {layout}, not {LAYOUT}; {remedy}")
        self.times = self.description["time"].values
        self.members = self.description["number"].values
        if len(self.fields) != len(self.times):
            raise SlamsError(
                f"store {array}: {len(self.fields)} fields, {len(self.times)} described; {remedy}"
            )

    def verify(self) -> None:
        """Read all of the array. Raises SlamsError where it is not the one described."""
        expected, found = self.description.attrs["sha256"], file_hash(self.array)
        if found != expected:
            raise SlamsError(
                f"store {self.array}: its SHA-256 is {found[:16]}..., not {expected[:16]}... as "
                f"described in {self.path.name}; delete both files and build it again"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, latitude, longitude) of a field."""
        channels, rows, columns = self.fields.shape[1:]
        return channels, rows, columns

    def starts(self, window: int, step_hours: float) -> np.ndarray:
        """Indices (n,) at which ``window`` fields of one member, ``step_hours`` apart, begin."""
        if window == 1:
            return np.arange(len(self.times))
        if window > len(self.times):
            return np.arange(0)
        step = np.timedelta64(round(step_hours * 3600), "s")
        follows = (np.diff(self.times) == step) & (np.diff(self.members) == 0)
        runs = np.lib.stride_tricks.sliding_window_view(follows, window - 1).all(-1)
        return np.flatnonzero(runs)

    def window(self, start: int, length: int) -> np.ndarray:
        """A copy (length, channel, latitude, longitude) of the fields from ``start``."""
        return np.array(self.fields[start : start + length])

    def batch(self, starts: np.ndarray, length: int) -> np.ndarray:
        """A copy (n, length, channel, latitude, longitude) of the windows at ``starts``."""
        return np.stack([self.fields[start : start + length] for start in starts])


class StoreWriter:
    """Writes a split field by field; the files take their names only when all is written.

    Raises SlamsError at once where the disk has no room for ``count`` fields of ``shape``.
    """

    def __init__(self, description: Path, shape: tuple[int, ...], count: int) -> None:
        self.description, self.count, self.written = Path(description), count, 0
        self.shape = shape
        self.temporary = self.description.with_suffix(".npy.partial")
        room.check(
            self.description.parent,
            4.0 * count * math.prod(shape),
            f"store {self.description}, {count} fields,",
        )
        self.description.parent.mkdir(parents=True, exist_ok=True)
        # Until the new one is whole there is none: an old description must not meet a new array.
        self.description.unlink(missing_ok=True)
        self._file = self.temporary.open("wb+")
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, *shape)}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._file.seek(0)
        self._digest = hashlib.sha256(self._file.read())

    def add(self, fields: np.ndarray) -> None:
        """Append ``fields`` (n, channel, latitude, longitude)."""
        block = np.ascontiguousarray(fields, dtype="<f4")
        if block.shape[1:] != self.shape:
            raise SlamsError(
                f"store {self.description}: fields of shape {block.shape[1:]} among those of "
                f"{self.shape}; ingest all years on the same levels and cells"
            )
        self._file.write(block.data)
        self._digest.update(block.data)
        self.written += len(block)

    def close(self, dataset: xr.Dataset) -> None:
        """Give the array its name, then write the description ``dataset``, last of all.

        Raises SlamsError where other than the announced number of fields was added.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self.written != self.count:
            raise SlamsError(
                f"store {self.description}: {self.written} fields written, {self.count} announced"
            )
        self.temporary.replace(self.description.with_suffix(".npy"))
        described = dataset.assign_attrs(layout=LAYOUT, sha256=self._digest.hexdigest())
        with atomic(self.description) as path:
            described.to_netcdf(path)


Period = tuple[datetime, datetime]


def read_fields(paths: Iterable[Path], period: Period) -> Iterator[xr.DataArray]:
    """The parts of regridded files that lie in ``period``, a piece at a time, in order of time.

    Yields air_temperature(time, level, latitude, longitude) in K, in memory, at most
    ``series.PIECE`` bytes of them; an ensemble's members follow one another along time, told
    apart by the coordinate ``number``.
    """
    first, last = (np.datetime64(instant, "ns") for instant in period)
    for path in paths:
        with open_dataset(path) as dataset:
            numbers = dataset["number"].values if "number" in dataset.dims else None
        if numbers is None:
            for piece in series.read(path, "air_temperature", first, last):
                yield piece.drop_vars("number", errors="ignore").assign_coords(number=0)
            continue
        for number in numbers:
            yield from series.read(path, "air_temperature", first, last, number=number)


def read_images(paths: Iterable[Path], period: Period) -> Iterator[xr.DataArray]:
    """brightness_temperature(time, latitude, longitude) in K of ``period``, a piece at a time."""
    first, last = (np.datetime64(instant, "ns") for instant in period)
    for path in paths:
        yield from series.read(path, "brightness_temperature", first, last)


def _described(paths: Iterable[Path], period: Period) -> tuple[np.ndarray, np.ndarray]:
    """Time and ensemble member of every field that :func:`read_fields` gives, in its order."""
    first, last = (np.datetime64(instant, "ns") for instant in period)
    times, members = [np.empty(0, "datetime64[ns]")], [np.empty(0, np.int64)]
    for path in paths:
        with open_dataset(path) as dataset:
            found = dataset["time"].values
            found = found[(found >= first) & (found <= last)]
            numbers = dataset["number"].values if "number" in dataset.dims else np.array([0])
        for number in numbers:
            times.append(found)
            members.append(np.full(len(found), int(number)))
    return np.concatenate(times), np.concatenate(members)


def build(
    paths: list[Path],
    statistics: xr.Dataset,
    period: Period,
    target: Path,
    attributes: dict[str, str],
) -> None:
    """Write the store of one split: ``target`` (.nc) and the array beside it (.npy).

    ``paths`` are regridded years, of which a piece at a time is in memory, and which are read
    once. Raises SlamsError where the period holds no field or a field has missing cells.
    """
    normalisation = Normalisation(statistics)
    times, members = _described(paths, period)
    if not len(times):
        raise SlamsError(
            f"period {period[0]} to {period[1]} ({target.stem}) holds no field in "
            f"{len(paths)} ingested file(s): change periods.{target.stem} or add the files"
        )
    writer = StoreWriter(target, normalisation.coefficients.shape[1:], len(times))
    for piece in read_fields(paths, period):
        values = piece.values
        if not np.isfinite(values).all():
            day = piece["time"].values[~np.isfinite(values).all((1, 2, 3))][0]
            raise SlamsError(
                f"air temperature of {np.datetime_as_string(day, 'h')} has missing cells: the "
                "state must be whole; ingest global files that hold every level (and leave "
                "archives.era5.area null)"
            )
        writer.add(normalisation.normalise(values, piece["time"].values))
    dataset = statistics[["scale"]].assign_coords(
        time=("field", times),
        number=("field", members),
        latitude=statistics["latitude"],
        longitude=statistics["longitude"],
    )
    dataset.attrs = {"title": "normalised air temperature", **attributes}
    writer.close(dataset)
