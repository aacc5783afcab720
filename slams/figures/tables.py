"""What figures take from the table of scores (docs/architecture.md, `scores.parquet`)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from slams.errors import SlamsError
from slams.verification import summary


def chosen(scores: pd.DataFrame, score: str, level: str | None = None) -> pd.DataFrame:
    """The plain rows of a score, at a level or at all; SlamsError where there is none."""
    rows = summary(scores)
    found = rows[rows["score"] == score]
    if level is not None:
        found = found[found["level"] == level]
    if found.empty:
        known = ", ".join(sorted(set(rows["score"])))
        levels = ", ".join(dict.fromkeys(rows["level"]))
        raise SlamsError(
            f"the table has no score {score}"
            + ("" if level is None else f" at level {level}")
            + f"; it has {known} at {levels}"
        )
    return found


def at_cell(scores: pd.DataFrame, axis: str, axis_value: float) -> pd.DataFrame:
    """The rows of one cell of an axis, and those of arms without a background.

    Raises SlamsError where the table has no such cell.
    """
    here = (scores["axis"] == axis) & np.isclose(scores["axis_value"], axis_value)
    if not here.any():
        cells = scores[["axis", "axis_value"]].drop_duplicates().itertuples(index=False)
        raise SlamsError(
            f"the table has no cell {axis}-{axis_value:g}; it has "
            + ", ".join(f"{cell.axis}-{cell.axis_value:g}" for cell in cells)
        )
    return scores[here | (scores["axis"] == "none")]


def heights(levels: Sequence[str]) -> list[str]:
    """The levels that are pressures, top first; not "all", not the stations."""
    return sorted({level for level in levels if _is_pressure(level)}, key=float)


def some(levels: Sequence[str], most: int) -> list[str]:
    """At most so many of the levels, evenly spread, the first and the last among them."""
    if len(levels) <= most:
        return list(levels)
    places = np.linspace(0, len(levels) - 1, most).round().astype(int)
    return [levels[place] for place in places]


def _is_pressure(level: str) -> bool:
    return level.replace(".", "", 1).isdigit()
