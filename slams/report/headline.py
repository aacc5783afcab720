"""The tables that say it first: one number an arm and cell, beside the classical analyses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from slams.errors import SlamsError
from slams.verification import summary

BASELINES: Final = ("climatology", "persistence", "interpolation", "oi", "letkf")
NAMES: Final = {"oi": "OI", "letkf": "LETKF"}
HEADLINES: Final = {"crps": "CRPS", "rmse": "RMSE of the ensemble mean"}
# What of an arm's own observations stands below its value: the first of these that there is.
BESIDE: Final = ("oi", "interpolation")
TERMINAL_WIDTH: Final = 110


@dataclass(frozen=True)
class Entry:
    """One number of a headline table: of an arm or a baseline, in one cell.

    `own` is the classical analysis, called `own_name`, of the arm's observations, where it is not
    that of the row; else None. `best` and `own_best` say which of all the row's numbers is least.
    """

    value: float
    lower: float
    upper: float
    best: bool
    own_name: str
    own: float | None
    own_best: bool


@dataclass(frozen=True)
class Row:
    """One row of a headline table: the cells of all arms at one axis value."""

    axis: str
    value: float
    entries: dict[str, Entry | None]

    @property
    def label(self) -> str:
        """The row's name: axis and value, or that there is no background."""
        return "no background" if self.axis == "none" else f"{self.axis} {self.value:g}"


def headline(scores: pd.DataFrame, score: str, level: str = "all") -> list[Row]:
    """`score` at a level: rows axis values, entries the arms and the baselines that there are.

    The baselines are those of the row's first arm; an arm with other observations has the
    optimal interpolation of its own (or, where there is none, their interpolation) beside its
    value. The smallest number of a row is marked best, whoever has it, those beside the arms'
    included.
    """
    rows = summary(scores)
    chosen = rows[(rows["score"] == score) & (rows["level"] == level)]
    arms = list(dict.fromkeys(scores["arm"]))
    there = [name for name in BASELINES if name in set(chosen["method"])]
    table = []
    for axis, value in dict.fromkeys(zip(chosen["axis"], chosen["axis_value"], strict=True)):
        here = chosen[(chosen["axis"] == axis) & (chosen["axis_value"] == value)]
        numbers = {(row.arm, row.method): row for row in here.itertuples(index=False)}
        first = next(arm for arm in arms if arm in set(here["arm"]))
        columns = {arm: (arm, "analysis") for arm in arms}
        columns |= {baseline: (first, baseline) for baseline in there}
        own = {arm: _own(numbers, arm, first) for arm in arms if (arm, "analysis") in numbers}
        found = [float(numbers[key].value) for key in columns.values() if key in numbers]
        found += [value for _, value in own.values() if value is not None]
        least = min((v for v in found if np.isfinite(v)), default=np.nan)
        entries = {
            name: _entry(numbers.get(key), least, *own.get(name, ("", None)))
            for name, key in columns.items()
        }
        table.append(Row(str(axis), float(value), entries))
    return table


def _own(numbers: dict[tuple[str, str], Any], arm: str, first: str) -> tuple[str, float | None]:
    """The classical analysis of an arm's own observations, where the row's is of others."""
    for method in BESIDE:
        own, common = numbers.get((arm, method)), numbers.get((first, method))
        if own is not None and common is not None:
            same = np.isclose(own.value, common.value, rtol=1e-6, equal_nan=True)
            return NAMES.get(method, method), None if same else float(own.value)
    return "", None


def _entry(row: Any, least: float, own_name: str, own: float | None) -> Entry | None:
    if row is None:
        return None
    return Entry(
        value=float(row.value),
        lower=float(row.lower),
        upper=float(row.upper),
        best=bool(row.value == least),
        own_name=own_name,
        own=own,
        own_best=own is not None and own == least,
    )


def summary_table(scores: pd.DataFrame, score: str = "crps", width: int = TERMINAL_WIDTH) -> str:
    """The headline table as plain text, at most `width` characters wide.

    Rows are axis values, columns arms and baselines (where they are too many, the arms first, in
    blocks that fit, and then the baselines); a star marks the best of each row, a circle the arm
    whose observations have it by a classical analysis that has no column.
    """
    rows = headline(scores, score)
    if not rows:
        raise SlamsError(f"the table has no score {score} at level all: run at least one cell")
    names = list(rows[0].entries)
    heads = {name: NAMES.get(name, name).split("-") for name in names}
    wide = {name: max(7, *(len(word) + 1 for word in heads[name])) for name in names}
    label = max(len(row.label) for row in rows)
    cases = sorted(set(scores["cases"]))
    lines = [
        f"{HEADLINES.get(score, score)} (K), mean of levels, "
        f"{'-'.join(str(n) for n in cases)} cases a cell; * the best of each row"
    ]
    beside = {e.own_name for row in rows for e in row.entries.values() if e and e.own_best}
    if beside:
        lines.append(f"° that arm's observations have the best of the row by {'/'.join(beside)}")
    if "oi" in names or "letkf" in names:
        lines.append("Classical analyses are of the observations of the row's first arm.")
    blocks = _blocks(names, wide, width - label)
    if len(blocks) > 1:
        arms = [name for name in names if name not in BASELINES]
        others = [name for name in names if name in BASELINES]
        blocks = _blocks(arms, wide, width - label) + _blocks(others, wide, width - label)
    for block in blocks:
        lines.append("")
        depth = max(len(heads[name]) for name in block)
        for i in range(depth):
            # Short names stand on the lowest line of the head, next to their numbers.
            words = [["", *heads[n]][max(0, i - depth + len(heads[n]) + 1)] for n in block]
            lines.append(
                " " * label
                + "".join(f" {w:>{wide[n] - 1}} " for w, n in zip(words, block, strict=True))
            )
        for row in rows:
            numbers = "".join(f" {_terminal(row.entries[n]):>{wide[n]}}" for n in block)
            lines.append(f"{row.label:<{label}}{numbers}")
    return "\n".join(line.rstrip() for line in lines)


def _blocks(names: Sequence[str], wide: dict[str, int], width: int) -> list[list[str]]:
    blocks: list[list[str]] = [[]]
    for name in names:
        if blocks[-1] and sum(wide[n] + 1 for n in [*blocks[-1], name]) > width:
            blocks.append([])
        blocks[-1].append(name)
    return blocks


def _terminal(entry: Entry | None) -> str:
    if entry is None:
        return "· "
    return f"{number(entry.value)}{'*' if entry.best else '°' if entry.own_best else ' '}"


def number(value: float, digits: int = 2) -> str:
    """A value with fixed decimals, no zero below zero; a dash where it is missing."""
    return f"{round(value, digits) + 0.0:.{digits}f}" if np.isfinite(value) else "–"
