"""Statistics of the training period: a harmonic climatology and one scale a level.

The seasonal cycle of every grid cell is a least-squares fit of

    T(t) = c0 + sum_h [a_h cos(2 pi h d(t)) + b_h sin(2 pi h d(t))],

with d the fraction of the year. The normal equations are accumulated day by day, so that a
period of any length is read once with bounded memory, and each cell counts its own valid days,
so that missing values stay missing.
"""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from slams.errors import SlamsError

DAYS_PER_YEAR = 365.2425


def year_fraction(times: np.ndarray) -> np.ndarray:
    """Fraction of the year, 0 to 1 (1.002 in leap years), of UTC ``times`` (any shape)."""
    times = np.asarray(times, dtype="datetime64[s]")
    start = times.astype("datetime64[Y]").astype("datetime64[s]")
    return (times - start) / np.timedelta64(1, "D") / DAYS_PER_YEAR


def season_basis(times: np.ndarray, harmonics: int) -> np.ndarray:
    """Columns 1, cos, sin, cos 2, sin 2 ... of the seasonal fit, shape (time, 1 + 2 harmonics)."""
    angle = 2 * np.pi * year_fraction(times)[..., None] * np.arange(1, harmonics + 1)
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=-1).reshape(*np.shape(times), -1)
    return np.concatenate([np.ones((*np.shape(times), 1)), waves], axis=-1)


class HarmonicFit:
    """Running normal equations of the seasonal fit for fields of one shape.

    ``harmonics`` 0 fits the mean alone. Values are centred at ``offset`` (K) while they are
    summed, which keeps the residual variance accurate.
    """

    def __init__(self, shape: tuple[int, ...], harmonics: int, offset: float = 250.0) -> None:
        size = 1 + 2 * harmonics
        self.harmonics, self.offset = harmonics, offset
        self.normal = np.zeros((size, size, *shape))
        self.right = np.zeros((size, *shape))
        self.squares = np.zeros(shape)
        self.count = np.zeros(shape)

    def add(self, times: np.ndarray, fields: np.ndarray) -> None:
        """Add ``fields`` (time, ...) in K, NaN where missing, at UTC ``times`` (time,)."""
        for basis, field in zip(season_basis(times, self.harmonics), fields, strict=True):
            seen = np.isfinite(field)
            value = np.where(seen, field - self.offset, 0.0)
            column = basis.reshape(-1, *[1] * field.ndim)
            self.normal += (column[:, None] * column[None, :]) * seen
            self.right += column * value
            self.squares += value**2
            self.count += seen

    def solve(self) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (1 + 2 harmonics, ...) in K and residual variance (...) in K².

        Cells whose seasonal cycle is not known are NaN: those seen on fewer days than twice the
        number of coefficients, or in so small a part of the year that some combination of the
        coefficients has a standard error above the residual standard deviation.
        """
        size = self.right.shape[0]
        matrix = np.moveaxis(self.normal, (0, 1), (-2, -1))
        right = np.moveaxis(self.right, 0, -1)
        # The coefficients' error covariance is the residual variance times the inverse matrix.
        known = np.linalg.eigvalsh(matrix)[..., 0] >= 1 - 1e-9
        if size > 1:
            known &= self.count >= 2 * size
        # A cell not known gets the identity, to keep the batch solvable; it is NaN below.
        matrix = np.where(known[..., None, None], matrix, np.eye(size))
        solution = np.linalg.solve(matrix, right[..., None])[..., 0]
        degrees = np.maximum(self.count - size, 1)
        variance = np.maximum(self.squares - (solution * right).sum(-1), 0.0) / degrees
        solution[..., 0] += self.offset
        solution = np.where(known[..., None], solution, np.nan)
        return np.moveaxis(solution, -1, 0), np.where(known, variance, np.nan)


def evaluate(coefficients: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The seasonal cycle (time, ...) in K at ``times``; ``coefficients`` (1 + 2 harmonics, ...)."""
    harmonics = (coefficients.shape[0] - 1) // 2
    return np.tensordot(season_basis(times, harmonics), coefficients, axes=(-1, 0))


def fit(
    fields: Iterable[xr.DataArray],
    weights: np.ndarray,
    *,
    harmonics: int,
    reference: str = "climatology",
) -> xr.Dataset:
    """Statistics of air temperature over the training period.

    ``fields`` yields air_temperature(time, level, latitude, longitude) in K, a piece of the
    training period at a time; ``weights`` (latitude,) are area weights of mean 1. ``reference``
    says what the store subtracts: ``climatology`` each cell's own seasonal cycle, ``mean`` one
    global mean a level (the paper's). Returns, with dimension ``term`` for the terms of the fit:

    - ``reference(term, level, latitude, longitude)`` K: what is subtracted,
    - ``scale(level)`` K: area-weighted standard deviation of what is left,
    - ``climatology(term, ...)`` and ``climatology_spread(level, ...)`` K: each cell's seasonal
      cycle and the standard deviation about it, the baseline of every verification,
    - ``global_mean(level)``, ``global_standard_deviation(level)`` K: over time and area.

    Raises SlamsError where the period holds no field, where a cell's seasonal cycle is not known
    (:meth:`HarmonicFit.solve`), where nothing varies about the reference, and where ``reference``
    is neither.
    """
    running: HarmonicFit | None = None
    first: xr.DataArray | None = None
    for piece in fields:
        if piece.sizes["time"] == 0:
            continue
        values = piece.values.astype(np.float64)
        if running is None:
            first, running = piece, HarmonicFit(values.shape[1:], harmonics)
        running.add(piece["time"].values, values)
    if running is None or first is None:
        raise SlamsError("periods.train holds no field: widen it or ingest the years it names")
    coefficients, variance = running.solve()
    if not np.isfinite(coefficients).all():
        share = float(1 - np.isfinite(coefficients[0]).mean())
        raise SlamsError(
            f"{share:.0%} of the cells have too few valid days in periods.train, or too little of "
            f"the year, for a climatology with {harmonics} harmonics: use global fields, a longer "
            "period or a lower statistics.harmonics (0 keeps the mean alone)"
        )
    area = weights[:, None] / weights.mean()
    mean_field = running.right[0] / running.count + running.offset
    global_mean = (mean_field * area).mean((-2, -1))
    # Second moment about the global mean, from the running sums of squares about the offset.
    second = running.squares / running.count - 2 * (global_mean - running.offset)[:, None, None] * (
        mean_field - running.offset
    )
    deviation = np.sqrt(
        ((second + (global_mean - running.offset)[:, None, None] ** 2) * area).mean((-2, -1))
    )
    if reference == "climatology":
        subtract, scale = coefficients, np.sqrt((variance * area).mean((-2, -1)))
    elif reference == "mean":
        subtract = np.zeros_like(coefficients)
        subtract[0] = global_mean[:, None, None]
        scale = deviation
    else:
        raise SlamsError(f"statistics.reference: {reference!r} is not climatology or mean")
    if not (scale > 0).all():
        raise SlamsError(
            "periods.train holds no variation about the reference: it needs more fields, or "
            "statistics.reference: mean"
        )
    cells = ("level", "latitude", "longitude")
    data = xr.Dataset(
        {
            "reference": (("term", *cells), subtract, {"units": "K"}),
            "scale": ("level", scale, {"units": "K"}),
            "climatology": (("term", *cells), coefficients, {"units": "K"}),
            "climatology_spread": (cells, np.sqrt(variance), {"units": "K"}),
            "global_mean": ("level", global_mean, {"units": "K"}),
            "global_standard_deviation": ("level", deviation, {"units": "K"}),
        },
        coords={name: first[name] for name in cells},
    )
    data.attrs["fields"] = int(running.count.max())
    data.attrs["reference_kind"] = reference
    return data


class Normalisation:
    """Between temperatures in K and the normalised anomalies the networks see.

        x = (T - reference(t)) / scale,

    reference a seasonal cycle in every cell and scale one number a level, both of the training
    period (:func:`fit`).
    """

    def __init__(self, statistics: xr.Dataset) -> None:
        self.dataset = statistics
        self.coefficients = statistics["reference"].values
        self.scale = statistics["scale"].values
        self.levels = statistics["level"].values

    def reference(self, times: np.ndarray) -> np.ndarray:
        """Reference (time, level, latitude, longitude) in K."""
        return evaluate(self.coefficients, times)

    def normalise(self, fields: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Fields (..., time, level, latitude, longitude) in K to float32 normalised anomalies."""
        return ((fields - self.reference(times)) / self.scale[:, None, None]).astype(np.float32)

    def to_kelvin(self, state: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Normalised states (..., time, level, latitude, longitude) to float32 K."""
        return (state * self.scale[:, None, None] + self.reference(times)).astype(np.float32)

    def climatology(self, times: np.ndarray) -> np.ndarray:
        """Climatology (time, level, latitude, longitude) in K, whatever the reference is."""
        return evaluate(self.dataset["climatology"].values, times)
