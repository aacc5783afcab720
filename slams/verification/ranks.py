"""Is the truth one more member? Rank histograms, their Gaussian kin, and whether they are flat."""

from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import fdtrc, ndtr

from slams.errors import SlamsError
from slams.verification.resampling import block_means
from slams.verification.scores import (
    CELL_AREA_DIMS,
    area_weights,
    check_comparable,
    check_spread,
)

CONTRASTS: Final = 2  # of the test of flatness: slope and curvature

Array = NDArray[np.float64]


def rank_histogram(ensemble: xr.DataArray, truth: xr.DataArray, seed: int = 0) -> xr.DataArray:
    """Frequency of the truth's rank among M members, (..., rank), over what is uniform: 1 is flat.

    Cells count by area; rank 0 is below all members, rank M above. Among equal values the rank is
    drawn (Hamill 2001), from `seed`. No observation error is added: a truth has none. Raises
    SlamsError as `crps` does, and for less than two members.
    """
    check_comparable(ensemble, truth)
    members = ensemble.sizes.get("member", 0)
    if members < 2:
        raise SlamsError("ranks need an ensemble: a dimension member with two members or more")
    below = (ensemble < truth).sum("member", dtype=np.int32).transpose(*truth.dims)
    equal = (ensemble == truth).sum("member", dtype=np.int32).transpose(*truth.dims)
    drawn = np.random.default_rng(seed).integers(equal.values + 1)
    return _frequencies(truth.copy(data=below.values + drawn), members + 1)


def pit_histogram(
    mean: xr.DataArray, spread: xr.DataArray, truth: xr.DataArray, bins: int, seed: int = 0
) -> xr.DataArray:
    """The same of a Gaussian: its distribution function at the truth, in `bins` equal bins.

    The probability integral transform (Dawid 1984) in as many bins as an ensemble has ranks can
    be read beside the ensemble's histogram. Where the spread is zero, the truth lies in the first
    or the last bin, or, if it is equal to the mean, in one drawn from `seed`. Raises SlamsError as
    `crps_normal` does.
    """
    check_comparable(mean, truth)
    check_spread(spread, truth)
    width = spread.broadcast_like(truth).transpose(*truth.dims).values.astype(np.float64)
    error = truth.values.astype(np.float64) - mean.transpose(*truth.dims).values
    sharp = width <= 0
    place = ndtr(error / np.where(sharp, 1.0, width))
    drawn = np.random.default_rng(seed).random(error.shape)
    place = np.where(sharp, np.where(error == 0, drawn, error > 0), place)
    bin_of = np.minimum((place * bins).astype(np.int64), bins - 1)
    return _frequencies(truth.copy(data=bin_of), bins)


def _frequencies(bin_of: xr.DataArray, bins: int) -> xr.DataArray:
    """Area-weighted frequency of each bin, times their number; latitude and longitude used up."""
    weights = area_weights(bin_of["latitude"]).values[:, None]
    ordered = bin_of.transpose(..., *CELL_AREA_DIMS)
    cells = ordered.shape[-2:]
    fields = ordered.values.reshape(-1, *cells).astype(np.int64)
    # Every field has bins of its own, so that one call counts them all.
    offset = np.arange(len(fields))[:, None, None] * bins
    weight = np.broadcast_to(weights, fields.shape).ravel()
    total = np.bincount((fields + offset).ravel(), weight, minlength=len(fields) * bins)
    leading = [dim for dim in ordered.dims if dim not in CELL_AREA_DIMS]
    shape = [ordered.sizes[dim] for dim in leading]
    coordinates = {dim: ordered[dim] for dim in leading if dim in ordered.coords}
    return xr.DataArray(
        total.reshape(*shape, bins) * bins / (cells[0] * cells[1]),
        coordinates | {"rank": np.arange(bins)},
        (*leading, "rank"),
    )


def flatness(frequencies: Array, block: int = 1) -> Array:
    """p-value, (...), that a rank histogram is flat but for chance.

    `frequencies` (case, ..., bin) are those of single cases. Neighbouring cells rank the truth
    alike, so that counts of cells tell nothing of chance (a chi-square test rejects any
    ensemble); here the means over blocks of cases are the sample. Tested are the two components
    into which Jolliffe and Primo (2008) take a histogram apart first, slope (bias) and curvature
    (too little or too much spread), together, by Hotelling's T^2 over the blocks. Other shapes
    are not seen. Missing with fewer than four blocks, where the test has no power.
    """
    cases, bins = frequencies.shape[0], frequencies.shape[-1]
    blocks = max(1, cases // block)
    if bins <= CONTRASTS or blocks < CONTRASTS + 2:
        return np.full(frequencies.shape[1:-1], np.nan)
    components = block_means(frequencies @ _contrasts(bins), block)  # (block, ..., contrast)
    mean = components.mean(0)
    away = components - mean
    covariance = np.einsum("b...i,b...j->...ij", away, away) / (blocks - 1)
    # Components that do not vary between cases (a made-up table) have no test.
    regular = np.linalg.det(covariance) > 1e-20
    covariance = np.where(regular[..., None, None], covariance, np.eye(CONTRASTS))
    solved = np.linalg.solve(covariance, mean[..., None])[..., 0]
    t_squared = blocks * (mean * solved).sum(-1)
    degrees = blocks - CONTRASTS
    p = fdtrc(CONTRASTS, degrees, t_squared * degrees / (CONTRASTS * (blocks - 1)))
    return np.where(regular, p, np.nan)


def _contrasts(bins: int) -> Array:
    """Slope and curvature of a histogram, (bin, 2), orthonormal and orthogonal to the flat one."""
    place = np.linspace(-1, 1, bins)
    powers = np.stack([place**n for n in range(CONTRASTS + 1)], axis=1)
    orthogonal = np.linalg.qr(powers)[0]
    contrasts: Array = orthogonal[:, 1:]
    return contrasts
