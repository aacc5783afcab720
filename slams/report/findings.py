"""What a figure shows, said in a sentence from the numbers behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from slams.report.headline import NAMES, headline
from slams.verification import STATION_LEVEL, summary

CALIBRATED: Final = (0.9, 1.1)  # spread over error that is called calibrated
SURE: Final = 0.05  # p-value below which a histogram is called uneven
FINE: Final = 0.5  # share of the truth's power below which a scale is called lost
WORDS: Final = {"crps": "CRPS", "rmse": "RMSE", "wasserstein": "Wasserstein distance"}


@dataclass(frozen=True)
class Numbers:
    """The tables that figures are drawn from; None where there is none."""

    scores: pd.DataFrame
    comparisons: pd.DataFrame | None = None
    residuals: pd.DataFrame | None = None


def finding(stem: str, numbers: Numbers, cell: tuple[str, float] | None = None) -> str:
    """A sentence or two on the figure `stem`, or "" where its picture says all.

    `cell` is the (axis, value) that a figure of one cell shows.
    """
    kind, _, rest = stem.partition("-")
    if kind in ("ablation", "levels"):
        return _curves(numbers.scores, rest, by_level=kind == "levels")
    if kind == "comparisons":
        return _paired(numbers.comparisons)
    if kind == "operators":
        return _operators(numbers.residuals)
    if cell is None:
        return ""
    by_kind: Mapping[str, str] = {
        "profiles": _profiles(numbers.scores, cell),
        "ranks": _ranks(numbers.scores, cell),
        "spectra": _spectra(numbers.scores, cell),
    }
    return by_kind.get(kind, "")


def described(
    entry: Mapping[str, Any], path: Path, numbers: Numbers, film: Path | None = None
) -> dict[str, Any]:
    """A figure for `slams.report.write`: what the workflow says of it, and what it shows.

    `entry` has section, title, caption and cell ((axis, value) or None); the alternative text is
    the title and the caption's first sentence.
    """
    first = entry["caption"].partition(". ")[0].rstrip(".")
    cell = tuple(entry["cell"]) if entry["cell"] else None
    return {
        "path": path,
        "animation": film,
        "section": entry["section"],
        "title": entry["title"],
        "caption": entry["caption"],
        "finding": finding(path.stem, numbers, cell),
        "alt": f"{entry['title']}: {first}.",
    }


def _curves(scores: pd.DataFrame, score: str, by_level: bool) -> str:
    rows = summary(scores)
    rows = rows[rows["score"] == score]
    if score == "spread_skill":
        ours = rows[(rows["method"] == "analysis") & ((rows["level"] == "all") ^ by_level)]
        low, high = CALIBRATED
        values = ours["value"].dropna()
        if values.empty:
            return ""
        within = int(values.between(low, high).sum())
        of = "cells and levels" if by_level else "cells"
        return (
            f"The arms' ratio lies between {low} and {high} in {within} of {len(values)} {of}; the "
            f"smallest is {values.min():.2f}, the largest {values.max():.2f}."
        )
    levels = [level for level in dict.fromkeys(rows["level"]) if (level == "all") ^ by_level]
    best: dict[str, int] = {}
    total = 0
    for level in levels:
        for row in headline(scores, score, level):
            total += 1
            entries = [(name, entry) for name, entry in row.entries.items() if entry is not None]
            having = {NAMES.get(name, name) for name, entry in entries if entry.best}
            # Arms of the same observations have one classical analysis.
            having |= {entry.own_name for _, entry in entries if entry.own_best}
            for name in having:
                best[name] = best.get(name, 0) + 1
    if not best:
        return ""
    ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))
    said = ", ".join(f"{name} in {count}" for name, count in ranked)
    what = "axis values and levels" if by_level else "axis values"
    return f"Of {total} {what} the smallest {WORDS.get(score, score)} is that of {said}."


def _paired(table: pd.DataFrame | None) -> str:
    if table is None:
        return ""
    rows = table[(table["score"] == "crps") & (table["level"] == "all")]
    said = []
    for method, name in (("oi", "OI"), ("analysis", "the reference arm")):
        pairs = rows[rows["against_method"] == method]
        if len(pairs):
            better, worse = int((pairs["upper"] < 0).sum()), int((pairs["lower"] > 0).sum())
            said.append(
                f"Against {name} the interval lies below zero (better) in {better} of {len(pairs)} "
                f"comparisons and above it in {worse}; the median change is "
                f"{round(pairs['percent'].median(), 1) + 0.0:+.1f} %."
            )
    return " ".join(said)


def _here(scores: pd.DataFrame, cell: tuple[str, float]) -> pd.DataFrame:
    axis, value = cell
    return scores[
        (scores["axis"] == axis)
        & np.isclose(scores["axis_value"], value)
        & (scores["case"] == "all")
        & (scores["method"] == "analysis")
    ]


def _profiles(scores: pd.DataFrame, cell: tuple[str, float]) -> str:
    rows = _here(scores, cell)
    rmse = rows[(rows["score"] == "rmse") & ~rows["level"].isin(["all", STATION_LEVEL])]
    if rmse.empty:
        return ""
    worst, best = (rmse.loc[rmse["value"].agg(pick)] for pick in ("idxmax", "idxmin"))
    return (
        f"The arms' errors reach from {best['value']:.2f} K ({best['arm']}, {best['level']} hPa) "
        f"to {worst['value']:.2f} K ({worst['arm']}, {worst['level']} hPa)."
    )


def _ranks(scores: pd.DataFrame, cell: tuple[str, float]) -> str:
    rows = _here(scores, cell)
    p = rows[(rows["score"] == "rank_flatness") & (rows["level"] != "all")]["value"].dropna()
    ends = rows[(rows["score"] == "rank_histogram") & ~rows["level"].isin(["all", STATION_LEVEL])]
    if p.empty or ends.empty:
        return ""
    outer = ends[(ends["bin"] == 0) | (ends["bin"] == ends["members"])]["value"].mean()
    return (
        f"Flatness is rejected at 5 % in {int((p < SURE).sum())} of {len(p)} histograms; the truth "
        f"lies outside of all members {outer:.2f} times as often as it should."
    )


def _spectra(scores: pd.DataFrame, cell: tuple[str, float]) -> str:
    rows = _here(scores, cell)
    ratio = rows[(rows["score"] == "power_ratio") & (rows["bin"] > 0)]
    if ratio.empty:
        return ""
    said = []
    for arm, of_arm in ratio.groupby("arm", sort=False):
        median = of_arm.groupby("bin")["value"].median()
        lost = median[median < FINE]
        said.append(f"{arm} {'none' if lost.empty else f'{lost.index.min()}'}")
    return (
        "The smallest wavenumber at which members hold less than half of the truth's power "
        f"(median of levels): {', '.join(said)}."
    )


def _operators(residuals: pd.DataFrame | None) -> str:
    if residuals is None or residuals.empty:
        return ""
    said = []
    for stream, rows in residuals[~residuals["refused"]].groupby("stream", sort=False):
        actual = float(np.sqrt((rows["residual"] ** 2).mean()))
        claimed = float(np.sqrt((rows["predicted_sd"] ** 2).mean()))
        said.append(f"{stream} {actual / claimed:.2f}")
    return f"Actual over claimed error, root mean square of all: {', '.join(said)}."
