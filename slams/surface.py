"""Between the state and thermometers at 2 m: what stations reported, and their regression.

The fitted stations (`slams.observation.stations_fit.fit`) are a data set; here is what it says of a
time and a place, without torch, for whoever assimilates stations and whoever verifies by them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from slams.errors import SlamsError
from slams.statistics import Normalisation, evaluate

EARTH_RADIUS_KM = 6371.0
MOVED_KM = 20.0  # a report from further away than this is not of the same place

Array = NDArray[np.float64]
# Station observations (station_id, time, latitude, longitude, air_temperature in K), or a function
# that gives those of some times, so that not all years need be in memory.
Table: TypeAlias = pd.DataFrame | Callable[[np.ndarray], pd.DataFrame]


def apart_km(
    latitude: pd.Series, longitude: pd.Series, other_latitude: Any, other_longitude: Any
) -> pd.Series:
    """Great-circle distance of places in degrees (haversine)."""
    south, north = np.deg2rad(latitude), np.deg2rad(other_latitude)
    turn = np.deg2rad(other_longitude) - np.deg2rad(longitude)
    square = np.sin((north - south) / 2) ** 2
    square = square + np.cos(south) * np.cos(north) * np.sin(turn / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(square.clip(0, 1)))


def elsewhere(
    table: pd.DataFrame, ids: np.ndarray, latitude: np.ndarray, longitude: np.ndarray
) -> NDArray[np.bool_]:
    """Which rows of a table were not reported from their station's place; ``ids`` sorted."""
    at = np.searchsorted(ids, table["station_id"].to_numpy(str))
    apart = apart_km(table["latitude"], table["longitude"], latitude[at], longitude[at])
    return (apart > MOVED_KM).to_numpy()


def reports(table: Table, fitted: xr.Dataset, times: np.ndarray) -> tuple[NDArray[np.float32], int]:
    """What the fitted stations reported at ``times``, (time, station) in K, NaN where nothing.

    Reports of a station at one time are averaged; those from elsewhere than its place are left
    out, and their number is the second value.
    """
    if callable(table):
        table = table(times)
    ids = fitted["station"].values.astype(str)
    instants = pd.DatetimeIndex(times)
    table = table[table["time"].isin(instants) & table["station_id"].isin(ids)]
    moved = elsewhere(table, ids, fitted["latitude"].values, fitted["longitude"].values)
    wide = table[~moved].pivot_table(
        index="time",
        columns="station_id",
        values="air_temperature",
        aggfunc="mean",
        observed=True,
    )
    return np.array(wide.reindex(index=instants, columns=ids), np.float32), int(moved.sum())


@dataclass(frozen=True)
class Regression:
    """T_2m = constant + sum over the lowest levels of slope times the state's anomaly.

    ``constant`` (time, station) K holds climate, place and bias; ``slope`` (level,) K a K of the
    anomaly about ``reference`` (time, level, station) K, the normalisation's reference at the
    stations; ``levels`` says which of the state's levels; ``indices`` and ``weights`` (station,
    4) are those of :func:`slams.grid.bilinear`.
    """

    constant: Array
    slope: Array
    reference: Array
    levels: slice
    indices: NDArray[np.int64]
    weights: Array
    cells: tuple[int, int]

    @classmethod
    def of(
        cls, fitted: xr.Dataset, normalisation: Normalisation, times: np.ndarray
    ) -> "Regression":
        """That of the fitted stations at ``times``.

        Raises SlamsError where they were fitted on other levels than the state's lowest.
        """
        expected = np.atleast_1d(fitted.attrs["levels_hPa"])
        used = len(expected)
        levels = slice(max(0, len(normalisation.levels) - used), None)
        if not np.array_equal(normalisation.levels[levels], expected):
            raise SlamsError(
                f"operators/stations.nc was fitted on the levels {_named(expected)} hPa, the "
                f"state's lowest are {_named(normalisation.levels[levels])} hPa: fit the stations "
                "on the levels of the state"
            )
        coefficient = fitted["coefficient"].values
        indices, weights = fitted["indices"].values, fitted["weights"].values
        fields = evaluate(normalisation.coefficients[:, levels], times)
        reference = _at(fields, indices, weights)
        constant = coefficient[0] + np.einsum("l,tls->ts", coefficient[1 : 1 + used], reference)
        constant = constant + fitted["fixed"].values @ coefficient[-2:] + fitted["bias"].values
        slope = coefficient[1 + used : 1 + 2 * used]
        rows, columns = fields.shape[-2:]
        return cls(constant, slope, reference, levels, indices, weights, (rows, columns))

    def temperature(self, fields: np.ndarray) -> Array:
        """(..., time, station) in K of states (..., time, level, latitude, longitude) in K.

        Raises SlamsError where the states are not on the cells of the fit.
        """
        if fields.shape[-2:] != self.cells:
            raise SlamsError(
                f"operators/stations.nc was fitted on {self.cells[0]} x {self.cells[1]} cells, the "
                f"fields have {fields.shape[-2]} x {fields.shape[-1]}: fit the stations on the "
                "grid of the state"
            )
        anomaly = _at(fields[..., self.levels, :, :], self.indices, self.weights) - self.reference
        predicted: Array = np.einsum("...tls,l->...ts", anomaly, self.slope) + self.constant
        return predicted


def _named(levels: Array) -> str:
    return ", ".join(f"{level:g}" for level in levels)


def _at(fields: np.ndarray, indices: NDArray[np.int64], weights: Array) -> Array:
    """Fields (..., latitude, longitude) at points: (..., point)."""
    flat = fields.reshape(*fields.shape[:-2], -1)
    found: Array = (flat[..., indices] * weights).sum(-1)
    return found
