"""From means by case to rows of the table: values, their intervals, and those of single cases."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slams.verification import reduction as r
from slams.verification.definitions import ALL, NO_BIN, UNITS
from slams.verification.ranks import flatness
from slams.verification.reduction import Means
from slams.verification.resampling import interval, varying

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """The cases of a cell: their names in time order, and the resamples of them.

    ``shares`` (resample, case) is how much of each resample a case is; ``block`` the cases a
    block.
    """

    cases: Sequence[str]
    shares: Array
    block: int

    def means(self, means: Means, weight: Array | None = None) -> tuple[Means, Means]:
        """Means over all cases, (level, ...), and over every resample, (resample, level, ...).

        ``weight`` (case,) is what a case counts, by default all the same. Missing where nothing
        counts.
        """
        counts = np.ones(len(self.cases)) if weight is None else weight
        counted = counts > 0
        # A case that counts nothing has no means: it must not make the others missing.
        kept = {name: mean[counted] for name, mean in means.items()}
        best = _average(counts[None, counted], kept)
        return {n: m[0] for n, m in best.items()}, _average(
            (self.shares * counts)[:, counted], kept
        )


def _average(weights: Array, means: Means) -> Means:
    """Weighted means over cases; ``weights`` (sample, case)."""
    total = weights.sum(1, keepdims=True)
    share = np.divide(weights, total, out=np.full(weights.shape, np.nan), where=total > 0)
    if not weights.shape[1]:
        return {name: np.full((len(weights), *m.shape[1:]), np.nan) for name, m in means.items()}
    return {name: np.tensordot(share, mean, axes=1) for name, mean in means.items()}


def _spread_skill(means: Means) -> Array:
    squared = means[r.SQUARED_ERROR]
    return np.sqrt(means[r.CLAIMED] / np.where(squared > 0, squared, np.nan))


def _power_ratio(means: Means) -> Array:
    true = means[r.TRUE_POWER]
    return means[r.POWER] / np.where(true > 0, true, np.nan)


@dataclass(frozen=True)
class Score:
    """A score as a function of the means that it needs; bins begin at ``first_bin``, if any."""

    needs: tuple[str, ...]
    value: Callable[[Means], Array]
    first_bin: int | None = None


# A new score of the table is a line here, and one in definitions.
SCORES: Final = {
    "rmse": Score((r.SQUARED_ERROR,), lambda m: np.sqrt(m[r.SQUARED_ERROR])),
    "bias": Score((r.ERROR,), lambda m: m[r.ERROR]),
    "crps": Score((r.CRPS,), lambda m: m[r.CRPS]),
    "spread": Score((r.VARIANCE,), lambda m: np.sqrt(m[r.VARIANCE])),
    "spread_skill": Score((r.CLAIMED, r.SQUARED_ERROR), _spread_skill),
    "rank_histogram": Score((r.HISTOGRAM,), lambda m: m[r.HISTOGRAM], first_bin=0),
    "power": Score((r.POWER,), lambda m: m[r.POWER], first_bin=1),
    "power_ratio": Score((r.POWER, r.TRUE_POWER), _power_ratio, first_bin=1),
}


def with_all(means: Means) -> Means:
    """Means (case, level, ...) with a further level, the mean of the levels."""
    return {
        name: np.concatenate([mean, mean.mean(1, keepdims=True)], axis=1)
        for name, mean in means.items()
    }


def rows_of_means(
    means: Means, levels: Sequence[str], sample: Sample, weight: Array | None = None
) -> list[pd.DataFrame]:
    """The rows of every score that the means (case, level, ...) of a method give."""
    best, resampled = sample.means(means, weight)
    frames = []
    for name, score in SCORES.items():
        if any(need not in means for need in score.needs):
            continue
        value, samples = score.value(best), score.value(resampled)
        first = score.first_bin
        bins = None if first is None else np.arange(first, first + value.shape[-1])
        frames.append(rows(name, levels, value, sample, samples, bins, weight))
        if bins is None:
            # Of one case the score is the same function of that case's means.
            frames += _single(name, levels, score.value(means), sample.cases)
    if r.HISTOGRAM in means:
        p = flatness(means[r.HISTOGRAM], sample.block)
        frames.append(rows("rank_flatness", levels, p, sample))
    return frames


def rows(
    score: str,
    levels: Sequence[str],
    value: Array,
    sample: Sample,
    samples: Array | None = None,
    bins: NDArray[np.int64] | None = None,
    weight: Array | None = None,
) -> pd.DataFrame:
    """Rows over all cases of ``value`` (level,) or (level, bin), with the interval of ``samples``.

    ``samples`` (resample, ...) may be None, for a value without an interval. ``weight`` (case,) is
    what a case counts, by default all the same.
    """
    cases = len(sample.cases)
    counts = np.ones(cases) if weight is None else weight
    if samples is None:
        samples = np.full((1, *value.shape), np.nan)
    else:
        samples = samples[np.isfinite(samples).any(axis=tuple(range(1, samples.ndim)))]
    if len(samples):
        lower, upper = interval(samples, varying(counts, sample.block))
    else:
        lower = upper = np.full(value.shape, np.nan)
    places = [NO_BIN] if bins is None else bins
    return pd.DataFrame(
        {
            "score": score,
            "level": np.repeat(np.array(levels, dtype=object), len(places)),
            "case": ALL,
            "bin": np.tile(places, len(levels)),
            "value": value.ravel(),
            "lower": lower.ravel(),
            "upper": upper.ravel(),
            "unit": UNITS[score],
            "cases": cases,
        }
    )


def _single(
    score: str, levels: Sequence[str], values: Array, cases: Sequence[str]
) -> list[pd.DataFrame]:
    """Rows of single cases; ``values`` (case, level)."""
    columns: dict[str, Any] = {
        "score": score,
        "level": np.tile(np.array(levels, dtype=object), len(cases)),
        "case": np.repeat(np.array(cases, dtype=object), len(levels)),
        "bin": NO_BIN,
        "value": values.ravel(),
        "lower": np.nan,
        "upper": np.nan,
        "unit": UNITS[score],
        "cases": 1,
    }
    return [pd.DataFrame(columns)]


def counted(score: str, level: str, counts: Array, sample: Sample) -> list[pd.DataFrame]:
    """Rows of a number, over all cases and of each."""
    total = np.array([counts.sum()])
    return [
        rows(score, [level], total, sample),
        *_single(score, [level], counts[:, None], sample.cases),
    ]
