"""Which of two is better on the same cases: paired differences, their intervals and tests.

What both have in common, the weather of the case, cancels in the differences case by case.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slams.errors import SlamsError
from slams.verification.definitions import (
    ALL,
    COMPARISON_COLUMNS,
    COMPARISON_DEFINITIONS,
    STATION_LEVEL,
)
from slams.verification.methods import ORDER
from slams.verification.resampling import (
    block_length,
    interval,
    shares,
    sign_flip_p,
    varying,
)

SCORES: Final = ("rmse", "crps")
CELL: Final = ["arm", "axis", "axis_value"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """Of a score (...) of two: the first less the second, with interval and p-value."""

    difference: Array
    percent: Array
    lower: Array
    upper: Array
    p_value: Array


def paired(
    score: str,
    first: Array,
    second: Array,
    *,
    bootstrap: int = 1000,
    block: int | None = None,
    seed: int = 0,
    weight: Array | None = None,
) -> Difference:
    """The difference of a score of two methods on the same cases, first less second.

    `first` and `second` (case, ...) are the score, "rmse" or "crps", of single cases in time
    order; over cases the square of an RMSE is averaged. `weight` (case,) is what a case counts.
    The interval is of `bootstrap` circular blocks of cases, the p-value of flips of blocks'
    signs; for an RMSE of those of squared errors. Raises SlamsError for other shapes or scores.
    """
    if score not in SCORES:
        raise SlamsError(f"{score} is not compared: choose {' or '.join(SCORES)}")
    if first.shape != second.shape:
        raise SlamsError(
            f"{first.shape} and {second.shape} scores by case are not of the same cases and levels"
        )
    one, two = (first**2, second**2) if score == "rmse" else (first, second)
    root = np.sqrt if score == "rmse" else np.asarray
    cases = len(first)
    length = block_length(cases, block)
    counts = np.ones(cases) if weight is None else weight
    if not counts.any():
        missing = np.full(first.shape[1:], np.nan)
        return Difference(missing, missing, missing, missing, missing)
    kept = counts > 0
    drawn = (shares(cases, length, bootstrap, seed) * counts)[:, kept]
    drawn = drawn[drawn.sum(1) > 0]
    drawn /= drawn.sum(1, keepdims=True)
    share = counts[kept] / counts.sum()
    one, two = one[kept], two[kept]

    def averaged(weights: Array, values: Array) -> Array:
        mean: Array = root(np.tensordot(weights, values, axes=1))
        return mean

    best = averaged(share, two)
    difference = averaged(share, one) - best
    differences = averaged(drawn, one) - averaged(drawn, two)
    lower, upper = interval(differences, varying(counts, length))
    by_case = (one - two) * (share * len(share)).reshape(-1, *[1] * (one.ndim - 1))
    p_value = sign_flip_p(by_case, min(length, len(by_case)), seed)
    percent = 100 * difference / np.where(best > 0, best, np.nan)
    return Difference(difference, percent, lower, upper, p_value)


def compare(
    scores: pd.DataFrame,
    *,
    reference: str | None = None,
    bootstrap: int = 1000,
    block: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Every arm's analysis against the other methods of its cell and the reference arm.

    `scores` is a merged table (`merge`), whose rows of single cases are paired; `reference` the
    arm that the others are compared with at the same axis value, None the first of the table.
    Returns one row a comparison, score and level (columns: `COMPARISON_COLUMNS`, described in
    `attrs["definitions"]`), in the table's order. Raises SlamsError where the table has no such
    arm, a cell without its analysis or nothing to compare, and where two cells to compare are not
    of the same cases.
    """
    arms = list(dict.fromkeys(scores["arm"]))
    tables = _by_case(scores)
    standard = arms[0] if reference is None else reference
    if standard not in arms:
        raise SlamsError(
            f"verification.reference is {standard}, an arm that the scores do not have; they have "
            f"{', '.join(arms)}"
        )
    frames = []
    for (arm, axis, value), methods in tables.items():
        others: dict[tuple[str, str], pd.DataFrame]
        others = {(arm, name): methods[name] for name in ORDER if name in methods}
        if arm != standard and (standard, axis, value) in tables:
            others[standard, "analysis"] = tables[standard, axis, value]["analysis"]
        cell = {"arm": arm, "method": "analysis", "axis": axis, "axis_value": value}
        for (against_arm, against_method), other in others.items():
            against = {"against_arm": against_arm, "against_method": against_method}
            for found in _rows(methods["analysis"], other, cell | against, bootstrap, block, seed):
                frames.append(found.assign(**cell, **against))
    if not frames:
        raise SlamsError(
            "the table has neither a classical analysis nor another arm to compare with: score the "
            "cells beside their classical analyses (slams.verification.score_cell)"
        )
    table = pd.concat(frames, ignore_index=True)[list(COMPARISON_COLUMNS)]
    table.attrs = {"definitions": COMPARISON_DEFINITIONS, "reference": standard}
    return table


def _by_case(scores: pd.DataFrame) -> dict[tuple[str, str, float], dict[str, pd.DataFrame]]:
    """Of every cell and method the rows of single cases, in the table's order."""
    wanted = scores["score"].isin([*SCORES, "observations"]) & (scores["case"] != ALL)
    single = scores[wanted]
    if single.empty:
        raise SlamsError("the table has no scores of single cases to compare: run a cell first")
    tables = {
        (str(arm), str(axis), float(value)): {
            str(method): rows for method, rows in cell.groupby("method", sort=False)
        }
        for (arm, axis, value), cell in single.groupby(CELL, sort=False)
    }
    for (arm, axis, value), methods in tables.items():
        if "analysis" not in methods:
            raise SlamsError(
                f"the cell {axis}-{value:g} of arm {arm} has no scores of its analysis: score it "
                "again; nothing is compared in part"
            )
    return tables


def _rows(
    ours: pd.DataFrame,
    theirs: pd.DataFrame,
    names: dict[str, Any],
    bootstrap: int,
    block: int | None,
    seed: int,
) -> Iterator[pd.DataFrame]:
    """The rows of each score: levels together, those of the stations with what each case counts."""
    for score in SCORES:
        one, two = _wide(ours, score), _wide(theirs, score)
        if list(one.index) != list(two.index) or set(one.columns) != set(two.columns):
            raise SlamsError(
                f"arm {names['arm']} and arm {names['against_arm']} have other cases or levels in "
                f"the cell {names['axis']}-{names['axis_value']:g}: run both cells again with one "
                "configuration; nothing is compared in part"
            )
        levels = [level for level in one.columns if level != STATION_LEVEL]
        weights: list[tuple[Sequence[str], Array | None]] = [(levels, None)]
        if STATION_LEVEL in one.columns:
            counts = _wide(ours, "observations")[STATION_LEVEL].to_numpy(np.float64)
            weights.append(([STATION_LEVEL], counts))
        for chosen, weight in weights:
            found = paired(
                score,
                one[chosen].to_numpy(np.float64),
                two[chosen].to_numpy(np.float64),
                bootstrap=bootstrap,
                block=block,
                seed=seed,
                weight=weight,
            )
            yield pd.DataFrame({"score": score, "level": chosen, **vars(found), "cases": len(one)})


def _wide(rows: pd.DataFrame, score: str) -> pd.DataFrame:
    """A score of single cases, rows cases and columns levels, both in the table's order."""
    chosen = rows[rows["score"] == score]
    wide = chosen.pivot(index="case", columns="level", values="value")
    return wide.loc[list(dict.fromkeys(chosen["case"])), list(dict.fromkeys(chosen["level"]))]
