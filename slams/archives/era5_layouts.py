"""The layouts in which ERA5 comes, brought to one: names, order, units, final values first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slams.archives.era5_files import Part
from slams.archives.netcdf import horizontal, reading
from slams.errors import ArchiveError

TIMES = ("valid_time", "time", "forecast_reference_time")
LEVELS = ("pressure_level", "level", "isobaricInhPa", "isobaricInPa", "plev")
ROWS, COLUMNS = ("latitude", "lat"), ("longitude", "lon")
STEPS = ("step", "forecast_period")
HECTOPASCALS = {"hPa": 1.0, "millibars": 1.0, "mbar": 1.0, "Pa": 0.01}
Order = NDArray[np.intp] | slice
PRELIMINARY = 5  # expver of ERA5T, which ERA5 (1) replaces after some months


class Fields:
    """Air temperature of one data set: what it holds, and its values, read some times at once.

    times: datetime64[ns], UTC, shape (n,), in the file's order. preliminary: bool (n,), entries
    that are marked as ERA5T as a whole. levels: hPa, top first. numbers: ensemble members, or
    None. latitude: north first; longitude: 0..360 ascending.
    chunk: times that the file stores together.

    Raises ArchiveError, naming the file, where it holds no air temperature in K on pressure
    levels, latitudes and longitudes, lacks one of `levels` (hPa; None takes all), or is damaged.
    """

    def __init__(self, part: Part, levels: Sequence[float] | None = None) -> None:
        self.label, self._failures = part.label, part.failures
        with reading(self.label, self._failures):
            field = _temperature(part.dataset, self.label)
            field = field.squeeze([dim for dim in STEPS if field.sizes.get(dim) == 1])
            self._dims = _roles(field, self.label)
            self._field = field
            self.times = _times(field, self.label)
            self.levels, self._order = _pressure(field, levels, self.label)
            axes = [
                np.atleast_1d(_coordinate(field, names, self.label)) for names in (ROWS, COLUMNS)
            ]
            found = horizontal(axes[0], axes[1], Path(self.label))
            self.latitude, self.longitude = found[:2]
            self._rows, self._columns = _neighbours(found[2]), _neighbours(found[3])
            self.numbers = self._members()
            self._versions, self.preliminary = self._experiments(part.dataset)
            self.chunk = self._stored_together()
        if not (self.times.size and self.latitude.size and self.longitude.size):
            raise ArchiveError(f"{self.label} holds no field at all; fetch it again.")

    @property
    def bytes_a_time(self) -> int:
        """Bytes of one time's values as float32."""
        members = 1 if self.numbers is None else self.numbers.size
        return 4 * members * self.levels.size * self.latitude.size * self.longitude.size

    def read(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values of the entries start to stop, and which of these are preliminary.

        Returns (entry[, number], level, latitude, longitude), K, NaN where missing, and (entry,).
        """
        dims = self._dims
        with reading(self.label, self._failures):
            taken = self._field
            if dims["time"] in taken.dims:
                taken = taken.isel({dims["time"]: slice(start, stop)})
            if dims["level"] in taken.dims:
                taken = taken.isel({dims["level"]: self._order})
            order = [name for name in dims.values() if name in taken.dims]
            values = taken.transpose(*order).values.astype(np.float32, copy=False)
        for axis, name in enumerate(dims.values()):
            if name not in order:
                values = np.expand_dims(values, axis)
        preliminary = self.preliminary[start:stop].copy()
        values, late = _final_first(values, self._versions)
        preliminary |= late
        if self.numbers is None:
            values = values[:, 0]
        return np.ascontiguousarray(values[..., self._rows, :][..., self._columns]), preliminary

    def _members(self) -> NDArray[Any] | None:
        """The members of an ensemble of two or more."""
        if self._field.sizes.get("number", 1) == 1:
            return None
        return np.asarray(self._field["number"].values)

    def _experiments(self, dataset: xr.Dataset) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which versions along the axis expver are preliminary, and which entries are."""
        one, none = np.zeros(1, dtype=bool), np.zeros(self.times.size, dtype=bool)
        if "expver" not in dataset.variables:
            return one, none
        marked = np.vectorize(_is_preliminary, otypes=[bool])(dataset["expver"].values)
        if "expver" in self._field.dims:
            return np.atleast_1d(marked), none
        if marked.ndim == 1 and marked.size == self.times.size:
            return one, marked
        if marked.ndim:
            raise ArchiveError(
                f"{self.label}: expver has dimensions {dataset['expver'].dims}, so that final and "
                "preliminary values cannot be told apart; fetch it again."
            )
        return one, none | bool(marked)

    def _stored_together(self) -> int:
        sizes = self._field.encoding.get("preferred_chunks", {})
        return max(1, int(sizes.get(self._dims["time"], 1)))


def named(field: xr.DataArray, label: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """A field without time and level: its latitudes, longitudes and values, in the file's order."""
    flat = field.squeeze(
        [dim for dim in field.dims if field.sizes[dim] == 1 and dim not in (*ROWS, *COLUMNS)],
        drop=True,
    )
    rows, columns = _present(flat.dims, ROWS), _present(flat.dims, COLUMNS)
    if rows is None or columns is None or flat.ndim != 2:
        raise ArchiveError(
            f"{label}: {field.name} has dimensions {field.dims}; keep a single time."
        )
    flat = flat.transpose(rows, columns)
    return flat[rows].values, flat[columns].values, flat.values


def _temperature(dataset: xr.Dataset, label: str) -> xr.DataArray:
    found = [dataset[name] for name in ("t", "air_temperature") if name in dataset.data_vars]
    if not found:
        raise ArchiveError(
            f"{label} holds {sorted(map(str, dataset.data_vars))} and no air temperature (t); it "
            "is of another product: give the variable temperature on pressure levels."
        )
    units = found[0].attrs.get("units")
    if units != "K":
        raise ArchiveError(
            f"{label}: temperature is in {units!r}, not K; it is of another product or was "
            "converted: fetch the original."
        )
    return found[0]


def _present(known: Any, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in known), None)


def _roles(field: xr.DataArray, label: str) -> dict[str, str]:
    """The field's own names of time, expver, number, level, latitude and longitude, in our order.

    A time or level may be a single one, without an axis.
    """
    roles: dict[str, str] = {}
    for role, names in {
        "time": TIMES,
        "expver": ("expver",),
        "number": ("number",),
        "level": LEVELS,
        "latitude": ROWS,
        "longitude": COLUMNS,
    }.items():
        axis = _present(field.dims, names)
        roles[role] = axis or _present(field.coords, names) or role
    strange = set(field.dims) - set(roles.values())
    lacking = [name for name in ("latitude", "longitude") if roles[name] not in field.dims]
    lacking += [
        name for name in ("time", "level") if roles[name] not in (*field.dims, *field.coords)
    ]
    if strange or lacking:
        raise ArchiveError(
            f"{label}: temperature has dimensions {field.dims}"
            + (f", none for {', '.join(lacking)}" if lacking else "")
            + "; give ERA5 analyses on pressure levels."
        )
    return roles


def _coordinate(field: xr.DataArray, names: Sequence[str], label: str) -> NDArray[Any]:
    name = _present(field.coords, names)
    if name is None:
        raise ArchiveError(f"{label} has no coordinate {names[0]}; fetch it again.")
    return field[name].values


def _times(field: xr.DataArray, label: str) -> NDArray[np.datetime64]:
    """When the fields are valid; GRIB conversions may give the start and the step instead."""
    name = _present(field.coords, TIMES)
    values = _coordinate(field, TIMES, label)
    step = _present(field.coords, STEPS)
    if name != "valid_time" and step is not None:
        values = values + np.asarray(field[step].values, dtype="timedelta64[ns]")
    values = np.atleast_1d(values)
    if values.dtype.kind != "M" or values.ndim != 1 or np.isnat(values).any():
        raise ArchiveError(
            f"{label}: {name} holds no dates of the standard calendar; it is damaged or of "
            "another product."
        )
    return values.astype("datetime64[ns]")


def _pressure(
    field: xr.DataArray, levels: Sequence[float] | None, label: str
) -> tuple[NDArray[np.float64], Order]:
    """Levels taken, hPa, top first, and where they are in the file."""
    name = _present(field.coords, LEVELS)
    stored = np.atleast_1d(_coordinate(field, LEVELS, label)).astype(np.float64)
    units = field[name].attrs.get("units")
    if units not in HECTOPASCALS:
        raise ArchiveError(f"{label}: levels are in {units!r}, not hPa; give pressure levels.")
    stored = stored * HECTOPASCALS[units]
    if np.unique(stored).size != stored.size:
        raise ArchiveError(f"{label} holds a level twice: {stored.tolist()}; fetch it again.")
    wanted = stored if levels is None else np.asarray(levels, dtype=np.float64)
    wanted = np.unique(wanted)
    near = np.abs(stored[:, None] - wanted[None]) < 1e-3
    missing = wanted[~near.any(axis=0)]
    if missing.size or not wanted.size:
        raise ArchiveError(
            f"{label} lacks the levels {missing.tolist()} hPa (it has "
            f"{np.sort(stored).tolist()}); change the levels or fetch them."
        )
    return wanted, _neighbours(near.argmax(axis=0))


def _neighbours(order: NDArray[np.intp]) -> Order:
    """The same order as a slice where it is one: that takes a view, and no copy."""
    steps = np.unique(np.diff(order))
    if order.size < 2 or steps.size > 1 or abs(steps[0]) != 1:
        return order
    stop = int(order[-1] + steps[0])
    return slice(int(order[0]), None if stop < 0 else stop, int(steps[0]))


def _is_preliminary(version: Any) -> bool:
    """Whether an expver (1, 5, "0001", "0005") is that of ERA5T."""
    text = version.decode() if isinstance(version, bytes) else str(version)
    try:
        return float(text) == PRELIMINARY
    except ValueError:
        return False


def _final_first(
    values: NDArray[np.float32], marked: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """One field out of several versions, each NaN where it is not valid; final ones go first.

    values: (entry, version, ...). marked: versions that are preliminary.
    Returns (entry, ...) and which entries have a value from a preliminary version.
    """
    order = np.argsort(marked, kind="stable")
    result = values[:, order[0]]
    late = np.zeros(len(values), dtype=bool)
    if len(order) == 1:
        return result, late | marked[0]
    result = result.copy()
    for version in order[1:]:
        fill = np.isnan(result) & ~np.isnan(values[:, version])
        if marked[version]:
            late |= fill.any(axis=tuple(range(1, fill.ndim)))
        np.copyto(result, values[:, version], where=fill)
    return result, late
