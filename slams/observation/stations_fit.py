"""The stations' regression, biases and errors, fitted on the training period.

What the regression is, :mod:`slams.observation.stations` says. It stands apart, so that an edit
here makes no analysis anew where it leaves the fit as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from slams.errors import SlamsError
from slams.grid import Grid, bilinear
from slams.observation.rows import LeastSquares, Rows, median
from slams.statistics import Normalisation, evaluate
from slams.store import Store
from slams.surface import Table, apart_km, elsewhere

ROBUST_LIMIT = 4.0  # residuals beyond this many robust standard deviations are left out of a fit
SHRINKAGE_DAYS = 30.0  # a station's own error variance weighs as much as all others' after these
TIMES_A_PIECE = 32  # of which reports are in memory together
PLACE = ["latitude", "longitude", "elevation"]


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
    def of(cls, places: pd.DataFrame, grid: Grid) -> "_Sites":
        """Every station where it reported from most: at the report next to the median.

        ``places`` are those of :func:`_places`.
        """
        station = places["station_id"]
        # Longitudes of one turn, so that a station on the date line or Greenwich has a median.
        start = places.groupby(station)["longitude"].transform("first")
        east = start + (places["longitude"] - start + 180) % 360 - 180
        known = places.assign(east=east)
        middle = pd.DataFrame(
            {
                name: known.groupby(station).apply(_median_place, name)
                for name in ("latitude", "east")
            }
        )
        north, turn = (station.map(middle[name]) for name in ("latitude", "east"))
        away = apart_km(north, turn, places["latitude"], east)
        places = places.loc[away.groupby(station, sort=True).idxmin()]
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


def _places(tables: Iterator[pd.DataFrame]) -> pd.DataFrame:
    """Every place of every station, in the order of reports, and how many came from it.

    Raises SlamsError where a report has no place.
    """
    columns = ["station_id", *PLACE]
    known = pd.DataFrame(columns=[*columns, "reports"])
    for table in tables:
        unknown = table[PLACE].isna().any(axis=1)
        if unknown.any():
            raise SlamsError(
                f"archives.stations: station {table['station_id'][unknown].iloc[0]} has no "
                "position or no elevation; leave out such rows"
            )
        found = table[columns].assign(station_id=table["station_id"].astype(str), reports=1)
        found = pd.concat([known, found]) if len(known) else found
        known = found.groupby(columns, sort=False, as_index=False)["reports"].sum()
    return known


def _median_place(places: pd.DataFrame, name: str) -> float:
    """The median over reports of a station's latitudes or longitudes."""
    ordered = places.sort_values(name)
    up_to = ordered["reports"].cumsum().to_numpy()
    middle = [(up_to[-1] - 1) // 2, up_to[-1] // 2]
    return float(ordered[name].to_numpy()[np.searchsorted(up_to, middle, side="right")].mean())


def fit(
    table: Table,
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
    air_temperature in K), paired with the fields of ``store`` by time; or it is a function that
    gives the table of some times, so that the period need not be in memory. Returns ``coefficient
    (predictor)``, and per station ``bias`` and ``error_variance`` (K, K²), ``observations``,
    ``held_out`` and what the position gives; the attribute ``levels_hPa`` says of which levels.
    What is common to all stations comes from those that are not held out, so that the others say
    nothing of any analysis. Raises SlamsError where too few observations coincide with fields.
    """
    places = _places(part for _, part in _pieces(table, store.times))
    if places.empty:
        raise SlamsError(
            "archives.stations: 0 observations coincide in time with fields of periods.train: all "
            "are of other times, or none is left after quality control; check "
            "archives.stations.paths and the rejected-observation table"
        )
    sites = _Sites.of(places, grid)
    normalisation = Normalisation(statistics)
    used = slice(len(normalisation.levels) - levels_used, None)
    held = np.isin(sites.ids, hold_out(sites.ids, held_out, seed))
    rows, moved, at_free = Rows(2 * levels_used + 5), 0, 0
    for first, part in _pieces(table, store.times):
        away = elsewhere(part, sites.ids, sites.latitude, sites.longitude)
        paired = _paired(part[~away], store, first, normalisation, sites, used)
        rows.add(paired)
        moved += int(away.sum())
        at_free += int((~held[paired[:, -1].astype(int)]).sum())
    if at_free < max(100, minimum_observations):
        raise SlamsError(
            f"archives.stations: {at_free} observations coincide in time with fields of "
            "periods.train at stations that are not held out, too few to fit the station operator "
            f"(at least {max(100, minimum_observations)}); add station years or leave out the "
            "stream"
        )
    coefficient, limit = _robust_fit(rows, ~held)
    errors = _station_errors(rows, coefficient, limit, held)
    names = [f"climate_{i}" for i in range(levels_used)] + [
        f"anomaly_{i}" for i in range(levels_used)
    ]
    result = xr.Dataset(
        {
            "coefficient": ("predictor", coefficient),
            "bias": ("station", errors.bias, {"units": "K"}),
            "error_variance": ("station", errors.variance, {"units": "K2"}),
            "observations": ("station", errors.count),
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
    used_here = errors.count >= minimum_observations
    if not (used_here & ~held).any():
        raise SlamsError(
            f"archives.stations: no station has {minimum_observations} observations in "
            "periods.train; lower archives.stations.minimum_observations or add station years"
        )
    result = result.isel(station=np.flatnonzero(used_here))
    result.attrs = {
        "levels_hPa": normalisation.levels[used].astype(float),
        "residual_standard_deviation_K": errors.remaining,
        "left_out_as_gross": len(rows) - int(errors.count.sum()),
        "left_out_as_moved": moved,
        "observations": len(rows),
    }
    return result


def _pieces(table: Table, times: np.ndarray) -> Iterator[tuple[int, pd.DataFrame]]:
    """The reports of some of ``times`` after the other, each with the number of the first time."""
    for first in range(0, len(times), TIMES_A_PIECE):
        some = times[first : first + TIMES_A_PIECE]
        part = table(some) if callable(table) else table[table["time"].isin(pd.DatetimeIndex(some))]
        if len(part):
            yield first, part


def _paired(
    table: pd.DataFrame,
    store: Store,
    first: int,
    normalisation: Normalisation,
    sites: _Sites,
    used: slice,
) -> np.ndarray:
    """Reports with the fields of their times: predictors, K observed, and the station's number.

    Their times are among TIMES_A_PIECE of the store's from the ``first`` on.
    """
    times = pd.DatetimeIndex(store.times[first : first + TIMES_A_PIECE])
    field_of = first + times.get_indexer(pd.DatetimeIndex(table["time"]))
    station_of = np.searchsorted(sites.ids, table["station_id"].to_numpy(str))
    terms = normalisation.coefficients[:, used]
    anomaly = np.empty((len(table), len(normalisation.levels[used])))
    climate = np.empty_like(anomaly)
    for field in np.unique(field_of):
        of = np.flatnonzero(field_of == field)
        states = sites.at(store.fields[field, used].astype(np.float64))[:, station_of[of]]
        anomaly[of] = (states * normalisation.scale[used, None]).T
        reference = sites.at(evaluate(terms, store.times[field : field + 1])[0])
        climate[of] = reference[:, station_of[of]].T
    observed = table["air_temperature"].to_numpy(float)
    ones = np.ones(len(table))
    return np.column_stack([ones, climate, anomaly, sites.fixed[station_of], observed, station_of])


def _residuals(
    rows: Rows, coefficient: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of all rows in pieces: themselves, their residuals and the numbers of their stations."""
    for piece in rows.pieces():
        yield piece, piece[:, -2] - piece[:, :-2] @ coefficient, piece[:, -1].astype(int)


def _robust_fit(rows: Rows, free: np.ndarray) -> tuple[np.ndarray, float]:
    """Least squares of the ``free`` stations' rows, twice repeated without those far off.

    Returns the coefficients, and the residual (K) up to which a row is near enough.
    """
    predictors = rows.columns - 2
    coefficient, limit = np.zeros(predictors), np.inf
    for _ in range(3):
        system = LeastSquares(predictors)
        for piece, residual, station in _residuals(rows, coefficient):
            kept = piece[free[station] & (np.abs(residual) <= limit)]
            system.add(kept[:, :-2], kept[:, -2])
        coefficient = system.solve()
        # The median absolute deviation is 0.6745 standard deviations of a Gaussian.
        limit = ROBUST_LIMIT * max(_deviation(rows, coefficient, free) / 0.6745, 1e-6)
    return coefficient, limit


def _deviation(rows: Rows, coefficient: np.ndarray, free: np.ndarray) -> float:
    """Median absolute deviation of the free rows' residuals about their median."""

    def of_free() -> Iterator[np.ndarray]:
        return (r[free[station]] for _, r, station in _residuals(rows, coefficient))

    middle = median(of_free)
    return median(lambda: (np.abs(residual - middle) for residual in of_free()))


@dataclass(frozen=True)
class _Errors:
    """Of every station (station,): bias (K), error variance (K²), observations near enough.

    ``remaining`` is the standard deviation (K) of what biases leave, at the free stations.
    """

    bias: np.ndarray
    variance: np.ndarray
    count: np.ndarray
    remaining: float


def _station_errors(rows: Rows, coefficient: np.ndarray, limit: float, held: np.ndarray) -> _Errors:
    """Bias and error variance of every station, shrunk towards those of the free stations.

    The variance between stations is estimated as in a one-way analysis of variance, from those
    that are not ``held`` out (station,).
    """
    stations = len(held)

    def near() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for _, residual, station in _residuals(rows, coefficient):
            good = np.abs(residual) <= limit
            yield residual[good], station[good]

    count, total, squares = np.zeros((3, stations))
    for residual, station in near():
        count += np.bincount(station, minlength=stations)
        total += np.bincount(station, residual, minlength=stations)
    mean = total / np.maximum(count, 1)
    for residual, station in near():
        squares += np.bincount(station, (residual - mean[station]) ** 2, minlength=stations)
    seen = (count > 0) & ~held
    within = squares[seen].sum() / max((count[seen] - 1).sum(), 1)
    between = max(np.mean(mean[seen] ** 2 - within / count[seen]), 0.0) if seen.any() else 0.0
    trust = between / (between + within / np.maximum(count, 1e-9)) if between > 0 else 0 * count
    own = squares + SHRINKAGE_DAYS * within
    variance = own / (np.maximum(count - 1, 0) + SHRINKAGE_DAYS)
    return _Errors(
        bias=trust * mean,
        # What is not known of the bias is an error of the observation.
        variance=variance + between * (1 - trust),
        count=count.astype(int),
        remaining=float(np.sqrt(squares[~held].sum() / max(count[~held].sum(), 1))),
    )
