"""Weather stations: from the lowest levels of the state to the thermometer at 2 m.

A regression fitted on the training period predicts a station's temperature from the state at
its position,

    T_2m = c0 + sum_l [a_l T_ref,l + b_l (T_l - T_ref,l)] + c1 z + c2 sin^2(latitude) + bias_s,

with the sum over the lowest levels, T_ref the reference of the normalisation (the seasonal
cycle) and z the elevation. Climate and weather have coefficients of their own, since the ground
follows them differently. Each station has a bias, shrunk towards zero by the days it was seen,
and an error variance, shrunk towards that of all stations: together what the regression leaves
unexplained and what one point says of a whole cell.

A station stands at one place: what it reported from elsewhere, before it moved or after, is left
out of the fit and of the analyses.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from slams.errors import SlamsError
from slams.grid import Grid, bilinear
from slams.observation.base import Observation
from slams.observation.checks import SURFACE_RANGE_K, plausible
from slams.observation.points import at_points
from slams.statistics import Normalisation, evaluate
from slams.store import Store
from slams.surface import Regression, apart_km, elsewhere, reports

log = logging.getLogger(__name__)

ROBUST_LIMIT = 4.0  # residuals beyond this many robust standard deviations are left out of a fit
SHRINKAGE_DAYS = 30.0  # a station's own error variance weighs as much as all others' after these


@dataclass(frozen=True)
class _Sites:
    """Stations on a grid: ids, places, interpolation weights, fixed predictors."""

    ids: np.ndarray
    latitude: np.ndarray  # (station,) degrees
    longitude: np.ndarray  # (station,) degrees
    indices: np.ndarray  # (station, 4) into the flattened cells
    weights: np.ndarray  # (station, 4)
    fixed: np.ndarray  # (station, 2) elevation in km, sin^2 latitude

    @classmethod
    def of(cls, table: pd.DataFrame, grid: Grid) -> "_Sites":
        """Every station where it reported from most: at the report next to the median."""
        table = table.reset_index(drop=True)
        station = table["station_id"]
        unknown = table[["latitude", "longitude", "elevation"]].isna().any(axis=1)
        if unknown.any():
            raise SlamsError(
                f"archives.stations: station {station[unknown].iloc[0]} has no position or no "
                "elevation; leave out such rows"
            )
        # Longitudes of one turn, so that a station on the date line or Greenwich has a median.
        start = table.groupby(station)["longitude"].transform("first")
        east = start + (table["longitude"] - start + 180) % 360 - 180
        middle = table["latitude"].groupby(station).transform("median")
        away = apart_km(middle, east.groupby(station).transform("median"), table["latitude"], east)
        places = table.loc[away.groupby(station, sort=True).idxmin()]
        latitude, longitude = places["latitude"].to_numpy(), places["longitude"].to_numpy()
        indices, weights = bilinear(grid, latitude, longitude)
        elevation = places["elevation"].to_numpy() / 1000
        fixed = np.stack([elevation, np.sin(np.deg2rad(latitude)) ** 2], axis=1)
        ids = places["station_id"].to_numpy(str)
        return cls(ids, latitude, longitude, indices, weights, fixed)

    def at(self, fields: np.ndarray) -> np.ndarray:
        """Fields (..., latitude, longitude) at the stations: (..., station)."""
        flat = fields.reshape(*fields.shape[:-2], -1)
        return (flat[..., self.indices] * self.weights).sum(-1)


def hold_out(ids: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The station ids, a seeded ``share`` of ``ids``, that no assimilation may see."""
    order = np.random.default_rng(seed).permutation(np.sort(np.unique(ids)))
    return np.sort(order[: round(share * len(order))])


def fit(
    table: pd.DataFrame,
    store: Store,
    statistics: xr.Dataset,
    grid: Grid,
    *,
    levels_used: int,
    held_out: float,
    minimum_observations: int,
    seed: int,
) -> xr.Dataset:
    """Fit the surface regression on the training period.

    ``table`` holds station observations (station_id, time, latitude, longitude, elevation in m,
    air_temperature in K), paired with the fields of ``store`` by time. Returns ``coefficient
    (predictor)``, and per station ``bias`` and ``error_variance`` (K, K²), ``observations``,
    ``held_out`` and what the position gives. What is common to all stations comes from those that
    are not held out, so that the others say nothing of any analysis. Raises SlamsError where too
    few observations coincide with fields.
    """
    if table.empty:
        raise SlamsError(
            "archives.stations: no observation is left in periods.train after quality control; "
            "check archives.stations.paths and the rejected-observation table"
        )
    sites = _Sites.of(table, grid)
    normalisation = Normalisation(statistics)
    used = slice(len(normalisation.levels) - levels_used, None)
    moved = elsewhere(table, sites.ids, sites.latitude, sites.longitude)
    table = table[~moved]
    row_of_time = {t: i for i, t in reversed(list(enumerate(store.times)))}
    rows = table["time"].map(row_of_time)
    table = table[rows.notna().to_numpy()]
    field_of = rows.dropna().astype(int).to_numpy()
    station_of = np.searchsorted(sites.ids, table["station_id"].to_numpy(str))
    held = np.isin(sites.ids, hold_out(sites.ids, held_out, seed))
    free = ~held[station_of]
    if free.sum() < max(100, minimum_observations):
        raise SlamsError(
            f"archives.stations: {free.sum()} observations coincide in time with fields of "
            "periods.train at stations that are not held out, too few to fit the station operator "
            f"(at least {max(100, minimum_observations)}); add station years or leave out the "
            "stream"
        )
    anomaly = np.empty((len(table), levels_used))
    climate = np.empty_like(anomaly)
    for field in np.unique(field_of):
        of = np.flatnonzero(field_of == field)
        states = sites.at(store.fields[field, used].astype(np.float64))[:, station_of[of]]
        anomaly[of] = (states * normalisation.scale[used, None]).T
        terms = normalisation.coefficients[:, used]
        climate[of] = sites.at(evaluate(terms, store.times[field : field + 1])[0])[
            :, station_of[of]
        ].T
    design = np.concatenate(
        [np.ones((len(table), 1)), climate, anomaly, sites.fixed[station_of]], axis=1
    )
    observed = table["air_temperature"].to_numpy(float)
    coefficient, residual, good = _robust_fit(design, observed, free)
    bias, variance, count, remaining = _station_errors(residual, good, station_of, held)
    names = [f"climate_{i}" for i in range(levels_used)] + [
        f"anomaly_{i}" for i in range(levels_used)
    ]
    result = xr.Dataset(
        {
            "coefficient": ("predictor", coefficient),
            "bias": ("station", bias, {"units": "K"}),
            "error_variance": ("station", variance, {"units": "K2"}),
            "observations": ("station", count),
            "held_out": ("station", held),
            "latitude": ("station", sites.latitude, {"units": "degrees_north"}),
            "longitude": ("station", sites.longitude, {"units": "degrees_east"}),
            "indices": (("station", "corner"), sites.indices),
            "weights": (("station", "corner"), sites.weights),
            "fixed": (("station", "place"), sites.fixed),
        },
        coords={
            "station": sites.ids,
            "predictor": ["constant", *names, "elevation_km", "sin2_latitude"],
        },
    )
    used_here = count >= minimum_observations
    if not (used_here & ~held).any():
        raise SlamsError(
            f"archives.stations: no station has {minimum_observations} observations in "
            "periods.train; lower archives.stations.minimum_observations or add station years"
        )
    result = result.isel(station=np.flatnonzero(used_here))
    result.attrs = {
        "levels_used": levels_used,
        "residual_standard_deviation_K": float(np.std(remaining[good & free])),
        "left_out_as_gross": int((~good).sum()),
        "left_out_as_moved": int(moved.sum()),
        "observations": len(table),
    }
    return result


def _robust_fit(
    design: np.ndarray, observed: np.ndarray, free: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Least squares of the free rows, twice repeated without those that lie far off.

    Returns the coefficients, and of every row the residual and whether it is near enough.
    """
    good = np.ones(len(observed), dtype=bool)
    for _ in range(3):
        used = good & free
        coefficient = np.linalg.lstsq(design[used], observed[used], rcond=None)[0]
        residual = observed - design @ coefficient
        # The median absolute deviation is 0.6745 standard deviations of a Gaussian.
        of = residual[free]
        deviation = np.median(np.abs(of - np.median(of))) / 0.6745
        good = np.abs(residual) <= ROBUST_LIMIT * max(deviation, 1e-6)
    return coefficient, residual, good


def _station_errors(
    residual: np.ndarray, good: np.ndarray, station: np.ndarray, held: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Bias and error variance of every station, shrunk towards those of the free stations.

    The variance between stations is estimated as in a one-way analysis of variance, from those
    that are not ``held`` out (station,).
    """
    stations = len(held)
    count = np.bincount(station[good], minlength=stations).astype(float)
    total = np.bincount(station[good], residual[good], minlength=stations)
    mean = total / np.maximum(count, 1)
    remaining = residual - mean[station]
    squares = np.bincount(station[good], remaining[good] ** 2, minlength=stations)
    seen = (count > 0) & ~held
    within = squares[seen].sum() / max((count[seen] - 1).sum(), 1)
    between = max(np.mean(mean[seen] ** 2 - within / count[seen]), 0.0) if seen.any() else 0.0
    trust = between / (between + within / np.maximum(count, 1e-9)) if between > 0 else 0 * count
    bias = trust * mean
    own = squares + SHRINKAGE_DAYS * within
    variance = own / (np.maximum(count - 1, 0) + SHRINKAGE_DAYS)
    # What is not known of the bias is an error of the observation.
    return bias, variance + between * (1 - trust), count.astype(int), remaining


class StationOperator(nn.Module):
    """The fitted regression at chosen stations in one window: affine in the state.

    Gives (batch, step, station) in K from normalised fields.
    """

    affine = True
    indices: Tensor
    weights: Tensor
    slope: Tensor
    constant: Tensor

    def __init__(self, fitted: xr.Dataset, normalisation: Normalisation, times: np.ndarray) -> None:
        super().__init__()
        regression = Regression.of(fitted, normalisation, times)
        self.levels, self.cells = regression.levels, regression.cells
        self.latitude, self.longitude = fitted["latitude"].values, fitted["longitude"].values
        slope = regression.slope * normalisation.scale[self.levels]
        self.register_buffer("indices", torch.from_numpy(regression.indices))
        self.register_buffer("weights", torch.from_numpy(regression.weights).float())
        self.register_buffer("slope", torch.from_numpy(slope).float())
        self.register_buffer("constant", torch.from_numpy(regression.constant).float())

    def forward(self, x: Tensor) -> Tensor:
        """Temperatures (batch, step, station) in K of fields (batch, step, level, lat, lon)."""
        if tuple(x.shape[-2:]) != self.cells:
            raise SlamsError(
                f"stream stations: fitted on {self.cells[0]} x {self.cells[1]} cells, the fields "
                f"have {x.shape[-2]} x {x.shape[-1]}: fit the stations on the grid of the state"
            )
        at = at_points(x[:, :, self.levels], self.indices, self.weights)
        return torch.einsum("btls,l->bts", at, self.slope) + self.constant


def observe(
    table: pd.DataFrame | Callable[[np.ndarray], pd.DataFrame],
    fitted: xr.Dataset,
    normalisation: Normalisation,
    times: np.ndarray,
) -> Observation:
    """The observations of a window from the stations that may be assimilated.

    ``table`` as in :func:`fit`, or a function that gives the table of some times, so that not all
    years need be in memory; a station that was held out, was not fitted or has moved since
    does not enter. Reports of a station at one time are averaged. Raises SlamsError where one is
    no air temperature in K.
    """
    chosen = fitted.isel(station=np.flatnonzero(~fitted["held_out"].values))
    if callable(table):
        table = table(times)
    value, moved = reports(table, chosen, times)
    if moved:
        log.info("%d observations of stations that have moved are left out", moved)
    remedy = "mend the station table, whose unit is K, or leave the station out"
    plausible(
        value, "stations", remedy, SURFACE_RANGE_K, names=chosen["station"].values.astype(str)
    )
    operator = StationOperator(chosen, normalisation, times)
    variance = torch.from_numpy(chosen["error_variance"].values).float()
    return Observation(operator, value, variance, times, "stations")
