"""The tidy table of scores of one cell, with intervals from a bootstrap over cases."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from slams.errors import SlamsError
from slams.verification.scores import (
    CELL_AREA_DIMS,
    Array,
    area_mean,
    crps,
    crps_normal,
    errors,
    variance,
)

KEY: Final = ("arm", "axis", "axis_value", "method", "score", "level")
COLUMNS: Final = (*KEY, "value", "lower", "upper", "unit", "cases", "members")
CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class CaseMeans:
    """Means over area and steps of one method, each (..., case or sample, level).

    Every score is a function of these alone, so that a bootstrap over cases resamples them and
    never the fields. `variance` is None for a method without uncertainty; `inflation` is the
    factor (M + 1)/M of an ensemble of M members, 1 for a Gaussian.
    """

    squared_error: Array
    error: Array
    crps: Array
    variance: Array | None
    inflation: float
    members: int

    def map(self, function: Callable[[Array], Array]) -> "CaseMeans":
        """The same with `function` applied to each mean."""
        variance = None if self.variance is None else function(self.variance)
        means = function(self.squared_error), function(self.error), function(self.crps)
        return CaseMeans(*means, variance, self.inflation, self.members)


def _rmse_of(means: CaseMeans) -> Array | None:
    return np.sqrt(means.squared_error)


def _bias_of(means: CaseMeans) -> Array | None:
    return means.error


def _crps_of(means: CaseMeans) -> Array | None:
    return means.crps


def _spread_of(means: CaseMeans) -> Array | None:
    return None if means.variance is None else np.sqrt(means.variance)


def _spread_skill_of(means: CaseMeans) -> Array | None:
    if means.variance is None:
        return None
    error = np.where(means.squared_error > 0, means.squared_error, np.nan)
    return np.sqrt(means.inflation * means.variance / error)


# Score -> (its value from means over cases, its unit). A new score of the table is a line here.
SCORES: Final[dict[str, tuple[Callable[[CaseMeans], Array | None], str]]] = {
    "rmse": (_rmse_of, "K"),
    "bias": (_bias_of, "K"),
    "crps": (_crps_of, "K"),
    "spread": (_spread_of, "K"),
    "spread_skill": (_spread_skill_of, "1"),
}


def score_cell(analysis: xr.Dataset, *, bootstrap: int = 1000, seed: int = 0) -> pd.DataFrame:
    """The scores of one cell as a tidy table, one row a score (columns: `COLUMNS`).

    `analysis` is a data set as docs/architecture.md describes `analysis.nc`: K, dimensions case,
    member, step, level, latitude, longitude. Methods: "analysis" (the ensemble), "interpolation"
    (a field: its CRPS is the absolute error; no spread), "climatology" (a Gaussian with
    climatology_spread). Column members: their number, 1 for a field, 0 for a Gaussian.

    Each method is reduced to means over area and steps by case and level: of the squared error,
    the error, the CRPS and the variance. Averaged over cases these give, by level,
    rmse = sqrt(squared error), bias = error, crps, spread = sqrt(variance) and
    spread_skill = sqrt(inflation · variance / squared error), inflation (M + 1)/M for M members
    (Fortin et al. 2014). Level "all" takes the plain mean over levels of the same four means
    before the root, so its bias may cancel between levels.

    lower and upper bound the 95 % percentile interval of `bootstrap` resamplings of the cases
    (drawn from `seed`; the same for all methods); with one case they are missing. An
    interpolation that is missing throughout a level, because nothing there was observed, has
    missing scores there and for "all".

    Raises SlamsError where a variable, dimension or attribute is absent, and where a value of
    the analysis, truth or climatology is not finite (naming case and member).
    """
    if bootstrap < 1:
        raise SlamsError(f"bootstrap must be 1 or more resamplings, not {bootstrap}")
    labels = _labels(analysis)
    _check_cell(analysis)
    if "case" not in analysis.coords:  # so that an error names the case, not its place in a part
        analysis = analysis.assign_coords(case=np.arange(analysis.sizes["case"]))
    cases = analysis.sizes["case"]
    levels = [f"{level:g}" for level in analysis["level"].values]
    draws = np.random.default_rng(seed).integers(cases, size=(bootstrap, cases))
    rows = [
        {**labels, "method": method, "cases": cases, **row}
        for method, means in _methods(analysis).items()
        for row in _rows(means, [*levels, "all"], draws)
    ]
    table = pd.DataFrame(rows)[list(COLUMNS)]
    table.attrs = {k: str(v) for k, v in analysis.attrs.items()}
    return table


def merge(paths: Sequence[str | Path]) -> pd.DataFrame:
    """All score tables as one, in the order given; SlamsError for other columns or duplicates."""
    if not paths:
        raise SlamsError("there is no score table to merge: run at least one cell")
    tables = []
    for path in paths:
        table = pd.read_parquet(path)
        if list(table.columns) != list(COLUMNS):
            raise SlamsError(
                f"{path} has the columns {', '.join(map(str, table.columns))}, not "
                f"{', '.join(COLUMNS)}: delete it and verify the cell again"
            )
        tables.append(table)
    merged = pd.concat(tables, ignore_index=True)
    twice = merged.duplicated(list(KEY), keep=False)
    if twice.any():
        which = ", ".join(f"{k} {v}" for k, v in merged.loc[twice, list(KEY)].iloc[0].items())
        source = np.repeat([str(path) for path in paths], [len(t) for t in tables])
        first = merged.loc[twice, list(KEY)].iloc[0]
        same = (merged[list(KEY)] == first).all(axis=1).to_numpy()
        raise SlamsError(
            f"the score of {which} stands more than once, in {', '.join(sorted(set(source[same])))}"
            ": merge each cell once"
        )
    return merged


def _methods(analysis: xr.Dataset) -> dict[str, CaseMeans]:
    """Method -> its means by case and level. A new baseline of the table is a line here."""
    return {
        "analysis": _by_case(analysis, _ensemble_means),
        "interpolation": _by_case(analysis, _interpolation_means),
        "climatology": _by_case(analysis, _climatology_means),
    }


def _by_case(analysis: xr.Dataset, function: Callable[[xr.Dataset], CaseMeans]) -> CaseMeans:
    """One case in memory at a time; each mean becomes (case, level)."""
    parts = [function(analysis.isel(case=[i]).load()) for i in range(analysis.sizes["case"])]
    variances = [p.variance for p in parts if p.variance is not None]
    return CaseMeans(
        np.concatenate([p.squared_error for p in parts]),
        np.concatenate([p.error for p in parts]),
        np.concatenate([p.crps for p in parts]),
        np.concatenate(variances) if variances else None,
        parts[0].inflation,
        parts[0].members,
    )


def _ensemble_means(case: xr.Dataset) -> CaseMeans:
    ensemble, truth = case["analysis"], case["truth"]
    members = ensemble.sizes["member"]
    error = errors(ensemble, truth)
    return CaseMeans(
        _reduce(error**2),
        _reduce(error),
        _over_steps(crps(ensemble, truth)),
        _reduce(variance(ensemble)) if members > 1 else None,
        (members + 1) / members,
        members,
    )


def _interpolation_means(case: xr.Dataset) -> CaseMeans:
    field, truth = case["interpolation"], case["truth"]
    absent = field.isnull().all([d for d in field.dims if d != "level"])
    # Levels without any observation are scored against a stand-in and then marked missing.
    error = errors(field.where(~absent, truth), truth).where(~absent)
    return CaseMeans(_reduce(error**2), _reduce(error), _reduce(abs(error)), None, 1.0, 1)


def _climatology_means(case: xr.Dataset) -> CaseMeans:
    mean, width, truth = case["climatology"], case["climatology_spread"], case["truth"]
    error = errors(mean, truth)
    return CaseMeans(
        _reduce(error**2),
        _reduce(error),
        _over_steps(crps_normal(mean, width, truth)),
        _reduce((width.astype(np.float64) ** 2).broadcast_like(truth)),
        1.0,
        0,
    )


def _reduce(field: xr.DataArray) -> Array:
    return _over_steps(area_mean(field))


def _over_steps(by_step: xr.DataArray) -> Array:
    means: Array = by_step.mean("step", skipna=False).transpose("case", "level").values
    return means


def _rows(means: CaseMeans, levels: list[str], draws: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The rows of one method, its means (case, level) resampled by `draws` (sample, case)."""
    with_all = means.map(lambda m: np.concatenate([m, m.mean(-1, keepdims=True)], axis=-1))
    best = with_all.map(lambda m: m.mean(0))
    cases = draws.shape[1]
    # How often each case was drawn: resampling becomes one matrix product.
    share = (draws[:, :, None] == np.arange(cases)).sum(1) / cases
    resampled = with_all.map(lambda m: share @ m)
    rows = []
    for score, (function, unit) in SCORES.items():
        value, samples = function(best), function(resampled)
        if value is None or samples is None:
            continue
        lower, upper = _interval(samples, cases)
        rows += [
            {"score": score, "level": level, "value": v, "lower": low, "upper": high}
            | {"unit": unit, "members": means.members}
            for level, v, low, high in zip(levels, value, lower, upper, strict=True)
        ]
    return rows


def _interval(samples: Array, cases: int) -> tuple[Array, Array]:
    """Percentile interval along the first axis; one case says nothing about its own variation."""
    if cases < 2:
        missing = np.full(samples.shape[1:], np.nan)
        return missing, missing
    tail = (1 - CONFIDENCE) / 2
    lower, upper = np.quantile(samples, [tail, 1 - tail], axis=0)
    return lower, upper


def _labels(analysis: xr.Dataset) -> dict[str, Any]:
    absent = [name for name in ("arm", "axis", "axis_value") if name not in analysis.attrs]
    if absent:
        raise SlamsError(
            f"the analysis lacks the attribute {', '.join(absent)}: write it as "
            "docs/architecture.md says (the rule assimilate_cell does)"
        )
    arm, axis, value = (analysis.attrs[name] for name in ("arm", "axis", "axis_value"))
    try:
        number = float(value)
    except (TypeError, ValueError):
        if axis != "none":
            raise SlamsError(
                f"axis_value of the axis {axis} must be a number, not {value}"
            ) from None
        number = 0.0
    return {"arm": str(arm), "axis": str(axis), "axis_value": number}


def _check_cell(analysis: xr.Dataset) -> None:
    field = ("case", "step", "level", *CELL_AREA_DIMS)
    expected = {
        "analysis": {*field, "member"},
        "truth": set(field),
        "interpolation": set(field),
        "climatology": set(field),
        "climatology_spread": {"level", *CELL_AREA_DIMS},
    }
    for name, dims in expected.items():
        if name not in analysis:
            raise SlamsError(f"the analysis lacks the variable {name}: run the cell again")
        if set(analysis[name].dims) != dims:
            raise SlamsError(
                f"{name} has the dimensions {', '.join(map(str, analysis[name].dims))}, not "
                f"{', '.join(sorted(dims))}: run the cell again"
            )
    for name in ("case", "step", "level"):
        if analysis.sizes[name] == 0:
            raise SlamsError(f"the analysis has no {name}: nothing to verify; check the cell's log")
