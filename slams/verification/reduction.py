"""From fields to the means by case and level that every score is made of.

A bootstrap over cases resamples these means and never the fields.
"""

from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slams.verification.methods import PARTLY, Method
from slams.verification.ranks import pit_histogram, rank_histogram
from slams.verification.scores import area_mean, crps, crps_normal, errors, variance
from slams.verification.spectra import power

Array = NDArray[np.float64]
Means = dict[str, Array]

# The means of a method: by case and level, the last three by bin, too.
SQUARED_ERROR: Final = "squared_error"
ERROR: Final = "error"
CRPS: Final = "crps"
VARIANCE: Final = "variance"
CLAIMED: Final = "claimed_error"  # what the squared error should be, if the spread is right
HISTOGRAM: Final = "histogram"
POWER: Final = "power"
TRUE_POWER: Final = "true_power"


def reduce(method: Method, cases: xr.Dataset, bins: int, seed: int) -> Means:
    """Means over area and steps of one method, {name: (case, level) or (case, level, bin)}.

    ``cases`` holds the method's variables and ``truth``, in memory. ``bins`` are those of a
    Gaussian's histogram; ``seed`` is of the ranks among equal values. Raises SlamsError where a
    value is not finite, but for a level of a case in which nothing was observed: its means are
    missing.
    """
    field, truth = cases[method.name], cases["truth"]
    absent = None
    if method.name in PARTLY:
        absent = field.isnull().all([d for d in field.dims if d not in ("case", "level")])
        # Scored against a stand-in and then marked missing, so that other gaps are refused.
        field = field.where(~absent, truth)
    means = {"ensemble": _ensemble, "gaussian": _gaussian, "field": _field}[method.kind](
        method, field, cases, bins, seed
    )
    means[POWER] = power(field)
    found = {name: _over_steps(mean) for name, mean in means.items()}
    if absent is not None:
        for mean in found.values():
            mean[absent.transpose("case", "level").values] = np.nan
    return found


def reduce_truth(cases: xr.Dataset) -> Array:
    """The truth's power spectrum, (case, level, wavenumber)."""
    return _over_steps(power(cases["truth"]))


def _ensemble(
    method: Method, field: xr.DataArray, cases: xr.Dataset, bins: int, seed: int
) -> dict[str, xr.DataArray]:
    truth, members = cases["truth"], method.members
    of_mean = area_mean(variance(field))
    return _field(method, field, cases, bins, seed) | {
        CRPS: crps(field, truth),
        VARIANCE: of_mean,
        # The mean of M members errs by the error of one more member's mean (Fortin et al. 2014).
        CLAIMED: (members + 1) / members * of_mean,
        HISTOGRAM: rank_histogram(field, truth, seed),
    }


def _gaussian(
    method: Method, field: xr.DataArray, cases: xr.Dataset, bins: int, seed: int
) -> dict[str, xr.DataArray]:
    truth, spread = cases["truth"], cases[method.spread]
    of_mean = area_mean((spread.astype(np.float64) ** 2).broadcast_like(truth))
    return _field(method, field, cases, bins, seed) | {
        CRPS: crps_normal(field, spread, truth),
        VARIANCE: of_mean,
        CLAIMED: of_mean,
        HISTOGRAM: pit_histogram(field, spread, truth, bins, seed),
    }


def _field(
    method: Method, field: xr.DataArray, cases: xr.Dataset, bins: int, seed: int
) -> dict[str, xr.DataArray]:
    error = errors(field, cases["truth"])
    return {
        SQUARED_ERROR: area_mean(error**2),
        ERROR: area_mean(error),
        CRPS: area_mean(abs(error)),
    }


def _over_steps(by_step: xr.DataArray) -> Array:
    """(case, level) or (case, level, bin)."""
    mean = by_step.mean("step", skipna=False)
    means: Array = mean.transpose("case", "level", ...).values
    return means
