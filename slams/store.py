"""The training store: one uncompressed float32 array a split, memory-mapped.

``<split>.npy`` holds normalised fields (field, channel, latitude, longitude), for temperature
the channels are the levels and for latents the latent channels. ``<split>.nc`` beside it says
what they are: coordinates, time and ensemble member of every field, attributes. A plain array
is read ten to twenty times faster than one chunked file a day (docs/benchmarks.md).
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import numpy as np
import xarray as xr

from slams.errors import SlamsError
from slams.provenance import atomic
from slams.statistics import Normalisation


class Store:
    """A split of the store, read through a memory map.

    ``fields`` (field, channel, latitude, longitude) float32, read only; ``times`` (field,)
    datetime64[ns] UTC; ``members`` (field,) int; ``description`` the xarray Dataset beside it.
    Raises SlamsError where one of the two files is absent or they differ in length.
    """

    def __init__(self, description: Path | str) -> None:
        description = self.path = Path(description)
        array = description.with_suffix(".npy")
        if not description.is_file() or not array.is_file():
            raise SlamsError(
                f"store {description}: it and {array.name} are not both there; build it"
            )
        with xr.open_dataset(description) as dataset:
            self.description = dataset.load()
        self.fields = np.load(array, mmap_mode="r")
        self.times = self.description["time"].values
        self.members = self.description["number"].values
        if len(self.fields) != len(self.times):
            raise SlamsError(
                f"store {array}: {len(self.fields)} fields, {len(self.times)} described; "
                "delete both files and build it again"
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
    """Writes a split field by field; the files take their names only when all is written."""

    def __init__(self, description: Path, shape: tuple[int, ...], count: int) -> None:
        self.description, self.count, self.written = Path(description), count, 0
        self.temporary = self.description.with_suffix(".npy.partial")
        self.description.parent.mkdir(parents=True, exist_ok=True)
        # Until the new one is whole there is none: an old description must not meet a new array.
        self.description.unlink(missing_ok=True)
        self.array = np.lib.format.open_memmap(
            self.temporary, mode="w+", dtype=np.float32, shape=(count, *shape)
        )

    def add(self, fields: np.ndarray) -> None:
        """Append ``fields`` (n, channel, latitude, longitude)."""
        self.array[self.written : self.written + len(fields)] = fields
        self.written += len(fields)

    def close(self, dataset: xr.Dataset) -> None:
        """Give the array its name, then write the description ``dataset``, last of all.

        Raises SlamsError where other than the announced number of fields was added.
        """
        if self.written != self.count:
            raise SlamsError(
                f"store {self.description}: {self.written} fields written, {self.count} announced"
            )
        self.array.flush()
        del self.array
        self.temporary.replace(self.description.with_suffix(".npy"))
        with atomic(self.description) as path:
            dataset.to_netcdf(path)


Period = tuple[datetime, datetime]


def select_period(field: xr.DataArray, period: Period) -> xr.DataArray:
    """The times of ``field`` within the inclusive ``period`` (UTC)."""
    first, last = (np.datetime64(instant, "ns") for instant in period)
    times = field["time"].values
    return field.isel(time=np.flatnonzero((times >= first) & (times <= last)))


def read_fields(paths: Iterable[Path], period: Period) -> Iterable[xr.DataArray]:
    """The parts of regridded files that lie in ``period``, a file at a time, in order of time.

    Yields air_temperature(time, level, latitude, longitude) in K; an ensemble's members follow
    one another along time, told apart by the coordinate ``number``.
    """
    for path in paths:
        with xr.open_dataset(path) as dataset:
            field = select_period(dataset["air_temperature"], period)
            if field.sizes["time"] == 0:
                continue
            if "number" in field.dims:
                for number in field["number"].values:
                    yield field.sel(number=number).load()
            else:
                yield field.drop_vars("number", errors="ignore").assign_coords(number=0).load()


def read_images(paths: Iterable[Path], period: Period) -> Iterable[xr.DataArray]:
    """brightness_temperature(time, latitude, longitude) in K of ``period``, a file at a time."""
    for path in paths:
        with xr.open_dataset(path) as dataset:
            images = select_period(dataset["brightness_temperature"], period)
            if images.sizes["time"]:
                yield images.load()


def build(
    paths: list[Path],
    statistics: xr.Dataset,
    period: Period,
    target: Path,
    attributes: dict[str, str],
) -> None:
    """Write the store of one split: ``target`` (.nc) and the array beside it (.npy).

    ``paths`` are regridded years. Raises SlamsError where the period holds no field or a field
    has missing cells.
    """
    normalisation = Normalisation(statistics)
    times, members = [], []
    for piece in read_fields(paths, period):
        times.append(piece["time"].values)
        members.append(np.full(piece.sizes["time"], int(piece["number"])))
    if not times:
        raise SlamsError(
            f"period {period[0]} to {period[1]} ({target.stem}) holds no field in "
            f"{len(paths)} ingested file(s): change periods.{target.stem} or add the files"
        )
    shape = normalisation.coefficients.shape[1:]
    writer = StoreWriter(target, shape, sum(map(len, times)))
    for piece in read_fields(paths, period):
        values = piece.values
        if not np.isfinite(values).all():
            day = piece["time"].values[~np.isfinite(values).all((1, 2, 3))][0]
            raise SlamsError(
                f"air temperature of {np.datetime_as_string(day, 'h')} has missing cells: the "
                "state must be whole; ingest global files that hold every level"
            )
        writer.add(normalisation.normalise(values, piece["time"].values))
    dataset = statistics[["scale"]].assign_coords(
        time=("field", np.concatenate(times)),
        number=("field", np.concatenate(members)),
        latitude=statistics["latitude"],
        longitude=statistics["longitude"],
    )
    dataset.attrs = {"title": "normalised air temperature", **attributes}
    writer.close(dataset)
