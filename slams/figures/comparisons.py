"""Paired comparisons: by how much an arm is better than OI, and than another arm."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from slams.errors import SlamsError
from slams.figures.style import WIDTH_INCHES, Style, arm_styles, legend_below, look, new_figure

INCHES_A_DOT: Final = (0.125, 0.085)  # with few and with many rows
INCHES_A_CELL: Final = 0.11  # between the groups of two cells
MANY: Final = 60  # rows


def against(
    comparisons: pd.DataFrame, method: str, score: str = "crps", level: str = "all"
) -> pd.DataFrame:
    """The comparisons of analyses with `method`: "analysis" is that of another arm.

    `lower_percent` and `upper_percent` are the interval of the difference, over the score of what
    it is compared with.
    """
    rows = comparisons[
        (comparisons["method"] == "analysis")
        & (comparisons["against_method"] == method)
        & (comparisons["score"] == score)
        & (comparisons["level"] == level)
    ]
    # What the other has, of which the difference is so many percent.
    base = (rows["difference"] / rows["percent"] * 100).where(rows["percent"] != 0)
    return rows.assign(
        lower_percent=100 * rows["lower"] / base, upper_percent=100 * rows["upper"] / base
    )


def comparisons(
    table: pd.DataFrame,
    score: str = "crps",
    level: str = "all",
    arms: Sequence[str] | None = None,
) -> Figure:
    """Change of a score in percent, with its 95 % interval, against OI and the reference arm.

    `table` is `comparisons.parquet` (docs/architecture.md): pairs of the same cases. Left of zero
    the arm is better. A hollow point has an interval that holds zero. Rows are the axis values;
    in each, the arms in the order of the legend, from above.
    """
    panels = {
        "against OI of the same observations": against(table, "oi", score, level),
        _reference(table): against(table, "analysis", score, level),
    }
    panels = {title: rows for title, rows in panels.items() if len(rows)}
    if not panels:
        raise SlamsError(
            f"there is no paired comparison of {score} at level {level}: verify the cells again"
        )
    every = pd.concat(panels.values())
    names = list(dict.fromkeys(every["arm"]))
    looks = arm_styles(arms or names)
    order = [arm for arm in looks if arm in names]
    places, heads, bottom = _places(every, order)
    with look():
        figure = new_figure(WIDTH_INCHES * (0.55 + 0.225 * len(panels)), bottom + 1.3)
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (title, rows) in zip(grid, panels.items(), strict=True):
            _panel(axes, rows, places, looks)
            axes.set_title(title)
            axes.set_xlabel(f"change of {score.upper()} (%), negative is better")
        grid[0].set_yticks(list(heads.values()), list(heads))
        grid[0].set_ylim(bottom, -INCHES_A_CELL)
        legend_below(figure, [Line2D([], [], label=arm, **_dot(looks[arm])) for arm in order])
    return figure


def _reference(table: pd.DataFrame) -> str:
    """The title of the panel of arms against an arm."""
    pairs = table.loc[table["against_method"] == "analysis", "against_arm"]
    names = list(dict.fromkeys(pairs))
    return f"against {names[0]}" if len(names) == 1 else "against the reference arm"


def _places(
    rows: pd.DataFrame, arms: Sequence[str]
) -> tuple[dict[tuple[str, float, str], float], dict[str, float], float]:
    """Where each (axis, value, arm) stands, in inches from above; the cells' middles; the end."""
    places: dict[tuple[str, float, str], float] = {}
    heads: dict[str, float] = {}
    at = 0.0
    apart = INCHES_A_DOT[len(rows[["axis", "axis_value", "arm"]].drop_duplicates()) > MANY]
    for axis, value in dict.fromkeys(zip(rows["axis"], rows["axis_value"], strict=True)):
        here = rows[(rows["axis"] == axis) & (rows["axis_value"] == value)]
        present = [arm for arm in arms if arm in set(here["arm"])]
        for number, arm in enumerate(present):
            places[axis, value, arm] = at + apart * number
        label = "no background" if axis == "none" else f"{axis} {value:g}"
        heads[label] = at + apart * (len(present) - 1) / 2
        at += apart * len(present) + INCHES_A_CELL
    return places, heads, max(at, 1.0)


def _panel(
    axes: Any,
    rows: pd.DataFrame,
    places: dict[tuple[str, float, str], float],
    looks: dict[str, Style],
) -> None:
    axes.axvline(0, color="black", linewidth=0.8, zorder=0)
    for row in rows.itertuples(index=False):
        style, y = looks[str(row.arm)], places[str(row.axis), row.axis_value, str(row.arm)]
        ends = np.sort([row.lower_percent, row.upper_percent])
        sure = np.isfinite(ends).all() and not ends[0] <= 0 <= ends[1]
        axes.plot(ends, [y, y], color=style.color, linewidth=1.2)
        fill = style.color if sure else "white"
        axes.plot(row.percent, y, **_dot(style) | {"markerfacecolor": fill})
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)


def _dot(style: Style) -> dict[str, Any]:
    return {"color": style.color, "marker": style.marker, "linestyle": "", "markersize": 4.5}
