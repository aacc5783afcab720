"""Scores of fields and ensembles against the truth, weighted by area.

Every score takes and returns xarray objects with named dimensions: it averages over ``latitude``
and ``longitude`` with the cells' areas as weights, uses up ``member``, and keeps whatever other
dimensions there are (case, step, level).
"""

from typing import Any, Final

import numpy as np
import scoringrules
import xarray as xr
from numpy.typing import NDArray

from slams.errors import SlamsError
from slams.grid import Grid

CELL_AREA_DIMS: Final = ("latitude", "longitude")
# The fair CRPS compares every member with every other: blocks of this many pairs (doubles) keep
# a 16-member ensemble at 1.5 degrees within 100 MB.
PAIRS_AT_ONCE: Final = 4_000_000

Array = NDArray[np.float64]


def area_weights(latitude: xr.DataArray) -> xr.DataArray:
    """The area of one cell of each row, (latitude,), relative to the mean over all cells.

    Raises SlamsError where the rows are not those of a global `slams.grid.Grid`.
    """
    rows = latitude.values.astype(np.float64)
    grid = Grid(180.0 / max(rows.size, 1))
    # The areas are the same north first and south first.
    if not np.allclose(np.sort(rows), np.sort(grid.latitude), atol=1e-3):
        raise SlamsError(
            f"the latitudes {rows} are not the {rows.size} centred rows from pole to pole of a "
            "common grid: regrid the field first (slams.grid.regrid)"
        )
    return xr.DataArray(grid.area_weights, {"latitude": latitude}, ("latitude",))


def area_mean(field: xr.DataArray) -> xr.DataArray:
    """Mean over latitude and longitude by area; a single missing value makes it missing."""
    for name in CELL_AREA_DIMS:
        if name not in field.dims or name not in field.coords:
            raise SlamsError(
                f"a field to verify needs the dimension and coordinate {name}; this one has "
                f"{', '.join(map(str, field.dims))}"
            )
    rows = field.mean("longitude", skipna=False, dtype=np.float64)
    # The weights' own mean is one. Several times faster than xarray's weighted mean.
    return (rows * area_weights(field["latitude"])).mean("latitude", skipna=False)


def bias(ensemble_or_field: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Mean error, ensemble mean minus truth, in the field's unit; positive is too warm.

    `ensemble_or_field` is ([member,] ..., latitude, longitude), `truth` the same without member.
    """
    return area_mean(errors(ensemble_or_field, truth))


def rmse(ensemble_or_field: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Root mean square error of the field, or of the ensemble's mean, in the field's unit."""
    return area_mean(errors(ensemble_or_field, truth) ** 2) ** 0.5


def crps(ensemble_or_field: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Continuous ranked probability score, in the field's unit; smaller is better.

    For an ensemble the fair estimator, mean |x - y| - 1/(2 M (M - 1)) sum |x - x'| (Ferro 2014),
    whose expectation does not depend on the number of members M. For a field, or a single
    member, the absolute error: what the CRPS becomes for a forecast without uncertainty.
    """
    check_comparable(ensemble_or_field, truth)
    if "member" not in ensemble_or_field.dims or ensemble_or_field.sizes["member"] == 1:
        return area_mean(abs(errors(ensemble_or_field, truth)))
    pointwise = xr.apply_ufunc(
        _fair_crps,
        truth.astype(np.float64),
        ensemble_or_field.astype(np.float64),
        input_core_dims=[[], ["member"]],
    )
    return area_mean(pointwise)


def crps_normal(mean: xr.DataArray, spread: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """CRPS of a Gaussian of given mean and standard deviation (Gneiting et al. 2005).

    `spread` may lack dimensions that `mean` has (a climatology's spread knows no case); where it
    is zero, the score is the absolute error.
    """
    check_comparable(mean, truth)
    check_spread(spread, truth)
    pointwise = xr.apply_ufunc(
        _gaussian_crps, truth.astype(np.float64), mean.astype(np.float64), spread.astype(np.float64)
    )
    return area_mean(pointwise)


def spread(ensemble: xr.DataArray) -> xr.DataArray:
    """Root mean (unbiased) ensemble variance, in the field's unit."""
    return area_mean(variance(ensemble)) ** 0.5


def spread_skill(ensemble: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Spread over the RMSE of the ensemble mean; 1 if calibrated, less if overconfident.

    sqrt((M + 1)/M · mean variance) / RMSE (Fortin et al. 2014, eq. 15): the factor makes up for
    the sampling error of the mean of M members. Missing where the RMSE is zero.
    """
    members = ensemble.sizes.get("member", 0)
    error = rmse(ensemble, truth)
    inflated = ((members + 1) / max(members, 1)) ** 0.5 * spread(ensemble)
    return inflated / error.where(error > 0)


def check_comparable(ensemble_or_field: xr.DataArray, truth: xr.DataArray) -> None:
    """Raise SlamsError unless both are finite, on equal dimensions and coordinates."""
    name = str(ensemble_or_field.name or "the field")
    if "member" in truth.dims:
        raise SlamsError("the truth has a dimension member: pass one field, without members")
    missing = set(truth.dims) ^ (set(ensemble_or_field.dims) - {"member"})
    if missing:
        raise SlamsError(
            f"{name} and the truth differ in the dimension {', '.join(sorted(map(str, missing)))}:"
            " select or average it before scoring"
        )
    _check_matching(ensemble_or_field, truth, name)
    _check_finite(ensemble_or_field, name)
    _check_finite(truth, "the truth")


def check_spread(spread: xr.DataArray, truth: xr.DataArray) -> None:
    """Raise SlamsError unless a spread is finite, not negative, and of the truth's cells."""
    _check_matching(spread, truth, "spread")
    _check_finite(spread, "spread")
    if bool((spread < 0).any()):
        raise SlamsError("a spread is negative: pass standard deviations, not errors or logarithms")


def errors(ensemble_or_field: xr.DataArray, truth: xr.DataArray) -> xr.DataArray:
    """Field, or ensemble mean, minus truth, point by point, in double precision."""
    check_comparable(ensemble_or_field, truth)
    field = ensemble_or_field.astype(np.float64)
    return (field.mean("member") if "member" in field.dims else field) - truth.astype(np.float64)


def variance(ensemble: xr.DataArray) -> xr.DataArray:
    """Unbiased ensemble variance, point by point, in double precision."""
    if ensemble.sizes.get("member", 0) < 2:
        raise SlamsError("spread needs an ensemble: a dimension member with two members or more")
    _check_finite(ensemble, str(ensemble.name or "the ensemble"))
    return ensemble.astype(np.float64).var("member", ddof=1)


def _check_matching(field: xr.DataArray, truth: xr.DataArray, name: str) -> None:
    """Every dimension that both have must have the same length and coordinate."""
    for dim in field.dims:
        if dim not in truth.dims:
            continue
        same = field.sizes[dim] == truth.sizes[dim]
        if same and dim in field.coords and dim in truth.coords:
            same = bool(np.array_equal(field[dim].values, truth[dim].values))
        if not same:
            raise SlamsError(
                f"{name} and the truth have different coordinates along {dim} "
                f"({_brief(field, dim)} against {_brief(truth, dim)}): "
                "bring both to the same cells, levels and times; nothing is scored in part"
            )


def _check_finite(field: xr.DataArray, name: str) -> None:
    finite = np.isfinite(field.values)
    if finite.all():
        return
    first = np.argwhere(~finite)[0]
    where = ", ".join(
        f"{dim} {field[dim].values[i] if dim in field.coords else i}"
        for dim, i in zip(field.dims, first, strict=True)
    )
    raise SlamsError(
        f"{name} has {(~finite).sum()} values that are not finite, the first at {where}: "
        "run that case again (with more steps or a smaller guidance), or leave it out of the "
        "configuration; nothing is scored in part"
    )


def _brief(field: xr.DataArray, dim: Any) -> str:
    values = field[dim].values
    return f"{values.size} values" + (f", {values[0]} to {values[-1]}" if values.size else "")


def _fair_crps(truth: Array, ensemble: Array) -> Array:
    """Point by point; `ensemble` has the members last."""
    members = ensemble.shape[-1]
    ensemble = np.broadcast_to(ensemble, (*truth.shape, members)).reshape(-1, members)
    blocks = max(1, ensemble.size * members // PAIRS_AT_ONCE)
    parts = [
        scoringrules.crps_ensemble(y, x, estimator="fair")
        for y, x in zip(
            np.array_split(truth.reshape(-1), blocks), np.array_split(ensemble, blocks), strict=True
        )
    ]
    return np.concatenate(parts).reshape(truth.shape)


def _gaussian_crps(truth: Array, mean: Array, spread: Array) -> Array:
    # The closed form divides by the spread; its limit for a vanishing spread is |mean - truth|.
    narrow = spread <= 0
    score = scoringrules.crps_normal(truth, mean, np.where(narrow, 1.0, spread))
    return np.where(narrow, abs(mean - truth), score)
