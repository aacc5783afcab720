"""How much of a field lasts, and how far to trust it: the persistence background's fit.

All is estimated from pairs of training fields, N steps apart, with covariances taken as the same
at every longitude: after a Fourier transform along longitude each wavenumber has a small matrix
over levels and rows, in which regression, errors and whole analyses are exact linear algebra.

The errors are alike over thousands of kilometres and over several levels, but the likelihood
takes them as independent, and would count the same news many times. So their variance is
multiplied by f^p. f is the sum of the error's correlations over the cells and levels within the
decorrelation distance. Were they the absolute correlations with all cells, a diagonal R of the
variance times f would be no smaller than the errors' covariance (the difference is diagonally
dominant), and p = 1 safe, but too cautious for errors that depend on nothing else: it takes every
scale for the largest. They do depend on the present field, since large scales last longer than
the one slope says. So p is fitted: of analyses of the training fields themselves with that
diagonal R, gain K = C H' (H C H' + R)^-1, the claimed covariance is C - K H C and the true one

    C - K C_yx - C_xy K' + K C_yy K',

with the covariances of present (x) and earlier (y) fields as they are; p makes their traces,
weighted by area, equal.
"""

import logging
from dataclasses import dataclass

import numpy as np
import xarray as xr

from slams.cases import climate
from slams.errors import SlamsError
from slams.grid import Grid
from slams.observation.degraded import BlockMean
from slams.observation.persistence import block_means, earlier_fields
from slams.statistics import Normalisation
from slams.store import Store

log = logging.getLogger(__name__)

PAIRS = 1500  # more training pairs add little
LEAST_PAIRS = 20
DECORRELATED = 0.2  # correlations below this do not count: there are many, and mostly noise
LARGEST_POWER = 4.0
STEPS = 12  # halvings of the interval in which the power lies
CHUNK = 100  # pairs transformed at once


@dataclass(frozen=True)
class Spectra:
    """Covariances (wavenumber, level x row, level x row) of present x and earlier y departures.

    ``weight`` (wavenumber,) counts the wavenumbers that a real transform leaves out: the mean
    over longitudes of a covariance is the sum of its spectrum times the weight.
    """

    xx: np.ndarray
    yx: np.ndarray
    yy: np.ndarray
    weight: np.ndarray

    def variance(self, spectrum: np.ndarray) -> np.ndarray:
        """Diagonal (level x row,) of a covariance, mean over longitudes."""
        diagonal = np.diagonal(spectrum, axis1=-2, axis2=-1).real
        return self.weight @ diagonal


def fit(
    store: Store,
    statistics: xr.Dataset,
    *,
    steps: int,
    step_hours: float,
    coarse: int,
) -> xr.Dataset:
    """Fit the persistence of ``steps`` steps on the training ``store``.

    ``coarse`` is the number of rows and columns of a block. Returns, by (level, row): ``slope``,
    ``residual_variance``, ``inflation`` and their product ``error_variance`` in normalised units
    squared; attributes ``hours``, ``coarse``, ``pairs``, ``power`` and ``spread_skill``, the ratio
    to be expected at that power. Raises SlamsError where there are too few pairs, and where
    nothing lasts.
    """
    hours = steps * step_hours
    before = earlier_fields(store, np.arange(len(store.times)), hours)
    present = np.flatnonzero(before >= 0)
    if len(present) < LEAST_PAIRS:
        raise SlamsError(
            f"axes.persistence.values: periods.train holds {len(present)} pairs of fields "
            f"{steps} steps ({hours:g} h) apart, too few to fit (at least {LEAST_PAIRS}); widen "
            "the period or leave the value out"
        )
    chosen = present[np.unique(np.linspace(0, len(present) - 1, PAIRS).round().astype(int))]
    spectra = _spectra(store, Normalisation(statistics), chosen, before[chosen], coarse)
    levels, rows = store.shape[0], store.shape[1] // coarse
    power_of_present = np.maximum(spectra.variance(spectra.xx), 1e-12)
    slope = spectra.variance(spectra.yx) / power_of_present
    errors = _errors(spectra, slope)
    residual = np.maximum(spectra.variance(errors), 1e-6)
    if not (slope > 0).any():
        raise SlamsError(
            f"axes.persistence.values: nothing of a field lasts {steps} steps ({hours:g} h); "
            "choose a smaller number of steps"
        )
    alike = _sum_of_correlations(errors, residual, store.shape[2] // coarse)
    area = np.tile(Grid(180 / rows).area_weights, levels)
    power, ratio = _calibrated_power(spectra, slope, residual, alike, area)
    log.info(
        "%d pairs %g h apart: slopes %.2f to %.2f, sums of correlations %.1f to %.1f, power %.2f, "
        "expected spread/skill %.2f",
        *(len(chosen), hours, slope.min(), slope.max(), alike.min(), alike.max(), power, ratio),
    )
    inflation = alike**power
    maps = {
        "slope": slope,
        "residual_variance": residual,
        "inflation": inflation,
        "error_variance": residual * inflation,
    }
    return xr.Dataset(
        {name: (("level", "row"), value.reshape(levels, rows)) for name, value in maps.items()},
        coords={"level": statistics["level"].values},
        attrs={
            "hours": hours,
            "coarse": coarse,
            "pairs": len(chosen),
            "power": power,
            "spread_skill": ratio,
        },
    )


def _spectra(
    store: Store,
    normalisation: Normalisation,
    present: np.ndarray,
    before: np.ndarray,
    coarse: int,
) -> Spectra:
    blocks = BlockMean(coarse)

    def transformed(numbers: np.ndarray) -> np.ndarray:
        """Departures' transforms (wavenumber, pair, level x row)."""
        fields = store.fields[numbers] - climate(normalisation, store.times[numbers])
        means = block_means(blocks, fields).astype(np.float64)
        waves = np.fft.rfft(means, axis=-1) / means.shape[-1]
        return np.moveaxis(waves, -1, 0).reshape(waves.shape[-1], len(numbers), -1)

    sums: list[np.ndarray] = [np.zeros(())] * 3
    for first in range(0, len(present), CHUNK):
        part = slice(first, first + CHUNK)
        x, y = transformed(present[part]), transformed(before[part])
        for number, (one, other) in enumerate(((x, x), (y, x), (y, y))):
            sums[number] = sums[number] + np.swapaxes(one, 1, 2) @ other.conj()
    columns = store.shape[2] // coarse
    weight = np.full(columns // 2 + 1, 2.0)
    weight[0] = 1.0
    if columns % 2 == 0:
        weight[-1] = 1.0
    xx, yx, yy = (one / len(present) for one in sums)
    return Spectra(xx, yx, yy, weight)


def _errors(spectra: Spectra, slope: np.ndarray) -> np.ndarray:
    """Spectrum of the covariance of y - a x."""
    cross = spectra.yx * slope
    return (
        spectra.yy - cross - np.swapaxes(cross, 1, 2).conj() + slope[:, None] * spectra.xx * slope
    )


def _sum_of_correlations(errors: np.ndarray, variance: np.ndarray, columns: int) -> np.ndarray:
    """Sum (level x row,) of an error's correlations with those within decorrelation distance."""
    deviation = np.sqrt(variance)
    total = np.zeros(len(variance))
    for number in range(len(variance)):
        apart = np.fft.irfft(errors[:, number], n=columns, axis=0) * columns
        correlation = apart / (deviation[number] * deviation)
        total[number] = correlation[correlation > DECORRELATED].sum()
    return np.maximum(total, 1.0)


def _calibrated_power(
    spectra: Spectra,
    slope: np.ndarray,
    residual: np.ndarray,
    alike: np.ndarray,
    area: np.ndarray,
) -> tuple[float, float]:
    """The power p of the sum of correlations, and the ratio of spread to skill it leads to."""

    def ratio(power: float) -> float:
        return _spread_skill(spectra, slope, residual * alike**power, area)

    low, high = 0.0, 1.0
    if ratio(low) >= 1:
        return low, ratio(low)
    while ratio(high) < 1 and high < LARGEST_POWER:
        high *= 2
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if ratio(middle) < 1 else (low, middle)
    return high, ratio(high)


def _spread_skill(
    spectra: Spectra, slope: np.ndarray, variance: np.ndarray, area: np.ndarray
) -> float:
    """Claimed over true standard deviation of analyses with a diagonal R of ``variance``."""
    claimed = true = 0.0
    columns = spectra.weight.sum()  # white errors have this share of their variance in each wave
    for xx, yx, yy, weight in zip(spectra.xx, spectra.yx, spectra.yy, spectra.weight, strict=True):
        innovation = slope[:, None] * xx * slope + np.diag(variance / columns)
        gain = np.linalg.solve(innovation, slope[:, None] * xx).conj().T
        part = np.diagonal(xx - gain @ (slope[:, None] * xx)).real
        claimed += weight * float(area @ part)
        crossed = gain @ yx
        error = xx - crossed - crossed.conj().T + gain @ yy @ gain.conj().T
        true += weight * float(area @ np.diagonal(error).real)
    return float(np.sqrt(claimed / true))
