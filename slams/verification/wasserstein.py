"""The paper's distance between distributions: the values of all cells, wherever they stand.

Qu et al. (2024) pool the pixels of all scored days of a level and take the 1-D Wasserstein
distance of the analysis to the truth, in units of the level's standard deviation, without area
weights. It does not ask where a value stands: shuffled pixels are perfect. It is here for
comparison with the paper's numbers; every other score is about places.
"""

from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slams.errors import SlamsError
from slams.verification.scores import check_comparable

POINTS: Final = 2048  # of the grid on which a bootstrap compares distribution functions

Array = NDArray[np.float64]
Floats = NDArray[np.float32] | Array


def wasserstein(ensemble_or_field: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """1-D Wasserstein distance of all values to all values of the truth, by level, in their unit.

    Pools every dimension but level: cells (not weighted by area, as in the paper), steps, cases
    and members. Exact, from sorted values. Over `global_standard_deviation` of the statistics,
    the training period's standard deviation of the level about its mean, it is in the paper's
    units. Raises SlamsError as `rmse` does.
    """
    check_comparable(ensemble_or_field, truth)
    if "level" not in truth.dims:
        return xr.DataArray(distance(ensemble_or_field.values.ravel(), truth.values.ravel()))
    found = [
        distance(ensemble_or_field.isel(level=i).values.ravel(), truth.isel(level=i).values.ravel())
        for i in range(truth.sizes["level"])
    ]
    coordinate = {"level": truth["level"]} if "level" in truth.coords else {}
    return xr.DataArray(found, coordinate, ("level",))


def distance(values: Floats, reference: Floats) -> float:
    """Exact W1 between two samples (n,) and (m,), n a multiple of m: the mean over quantiles.

    Sorted, every value of the smaller sample is paired with n/m of the larger. Runs of sorted
    values are merged, which is fast. Raises SlamsError where n is no multiple of m.
    """
    if reference.size == 0 or values.size % reference.size:
        raise SlamsError(
            f"{values.size} values against {reference.size} of the truth: pass whole fields or "
            "members of the same cells"
        )
    pairs = np.sort(values, kind="stable").reshape(reference.size, -1)
    away = np.abs(np.subtract(pairs, np.sort(reference, kind="stable")[:, None]))
    return float(away.mean(dtype=np.float64))


def excess(values: Floats, reference: Floats) -> tuple[Array, float]:
    """By case, the distribution function of the values minus the reference's, and the grid's step.

    `values` (case, n) and `reference` (case, m) of one level, each case sorted. Returns (case,
    `POINTS`) on an even grid that spans both, and the step in their unit. The mean over any cases,
    in absolute value, summed, times the step, is the distance of the values pooled over those
    cases: what a bootstrap over cases needs, within about the square of the step.
    """
    low = float(min(values[:, 0].min(), reference[:, 0].min()))
    high = float(max(values[:, -1].max(), reference[:, -1].max()))
    edges = np.linspace(low, high, POINTS + 1)
    middle = 0.5 * (edges[1:] + edges[:-1])
    found = [_below(x, middle) - _below(y, middle) for x, y in zip(values, reference, strict=True)]
    return np.stack(found), float(edges[1] - edges[0])


def _below(values: Floats, points: Array) -> Array:
    """Share of the values at or below each point."""
    share: Array = np.searchsorted(values, points, side="right") / values.size
    return share
