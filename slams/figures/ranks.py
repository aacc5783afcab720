"""Rank histograms: is the truth one more member?"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from slams.errors import SlamsError
from slams.figures.style import (
    BASELINES,
    WIDTH_INCHES,
    Style,
    legend_below,
    level_label,
    look,
    method_label,
    new_figure,
    styles_for,
)
from slams.figures.tables import at_cell, heights, some
from slams.verification import STATION_LEVEL

MOST_LEVELS: Final = 5
LOWEST_P: Final = 0.001
TALLEST: Final = 4.0  # times what is uniform; a taller bar is cut and its height said
# Unlike the steps of OI in colour, width and stroke.
FLAT: Final[dict[str, Any]] = {"color": "#8a8a8a", "linewidth": 0.8, "linestyle": (0, (4, 3))}


def rank_histograms(
    scores: pd.DataFrame, axis: str, axis_value: float, arms: Sequence[str] | None = None
) -> Figure:
    """How often the truth has each rank among the members: one row an arm, one column a level.

    At the cell `axis`, `axis_value`, over what is uniform, so that 1 is flat; whiskers are 95 %
    intervals over cases, p the test of flatness; what is flat is dashed. Black steps: the optimal
    interpolation of the same observations, its Gaussian in as many bins. Arms without a background
    are shown too. Where the arms of this cell have one member each, and others more, it says so.
    """
    every = scores[(scores["case"] == "all") & (scores["method"] == "analysis")]
    if not (every["score"] == "rank_histogram").any():
        raise SlamsError("the table has no rank histogram: verify with two members or more")
    rows = at_cell(scores[scores["case"] == "all"], axis, axis_value)
    found = rows[(rows["score"] == "rank_histogram") & (rows["bin"] >= 0)]
    if not (found["method"] == "analysis").any():
        with look():
            figure = new_figure(4.5, 1.2)
            figure.text(0.5, 0.5, "one member each: no rank", ha="center", va="center")
        return figure
    levels = some(heights(list(found["level"])), MOST_LEVELS)
    levels += [STATION_LEVEL] if STATION_LEVEL in set(found["level"]) else []
    with look():
        ours = set(found.loc[found["method"] == "analysis", "arm"])
        styles = {arm: s for arm, s in styles_for(scores, arms).items() if arm in ours}
        size = (max(4.5, WIDTH_INCHES * len(levels) / 5), 1.1 + 1.15 * len(styles))
        figure = new_figure(*size)
        grid = figure.subplots(len(styles), len(levels), sharex="row", sharey=True, squeeze=False)
        for line, (arm, style) in zip(grid, styles.items(), strict=True):
            of_arm = rows[rows["arm"] == arm]
            for axes, level in zip(line, levels, strict=True):
                _panel(axes, of_arm[of_arm["level"] == level], style)
            # In two lines: a panel is lower than most names are long.
            name = arm.replace("-", "-\n", 1)
            line[0].set_ylabel(name, color=style.color, fontweight="bold", fontsize=8)
        for axes, level in zip(grid[0], levels, strict=True):
            axes.set_title(level_label(level))
        tallest = found.loc[found["level"].isin(levels), "value"].max()
        grid[0, 0].set_ylim(0, min(TALLEST, max(1.6, 1.15 * tallest)))
        for axes in grid[-1]:
            axes.set_xlabel("rank of the truth")
        figure.supylabel("frequency over what is uniform (ratio)", fontsize=9)
        legend_below(figure, _handles(found))
    return figure


def _panel(axes: Any, rows: pd.DataFrame, style: Style) -> None:
    axes.grid(visible=False)
    ranks = _histogram(rows, "analysis")
    if ranks.empty:
        axes.set_axis_off()
        return
    bins, value = ranks["bin"].to_numpy(), ranks["value"].to_numpy(np.float64)
    axes.bar(bins, value, width=0.9, color=style.color, alpha=0.55)
    axes.vlines(bins, ranks["lower"], ranks["upper"], color=style.color, linewidth=1.0)
    axes.axhline(1, **FLAT)
    other = _histogram(rows, "oi")
    if len(other):
        edges = np.append(other["bin"].to_numpy() - 0.5, other["bin"].max() + 0.5)
        axes.stairs(other["value"], edges, color=BASELINES["oi"].color, linewidth=1.2)
    p = rows[(rows["score"] == "rank_flatness") & (rows["method"] == "analysis")]["value"]
    if len(p) and np.isfinite(p.iloc[0]):
        axes.text(
            0.5,
            0.97,
            _p_text(float(p.iloc[0])),
            transform=axes.transAxes,
            fontsize=7,
            ha="center",
            va="top",
        )
    axes.set_xticks([bins[0], bins[-1]])


def _histogram(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    found = (rows["score"] == "rank_histogram") & (rows["method"] == method) & (rows["bin"] >= 0)
    return rows[found].sort_values("bin")


def _p_text(p: float) -> str:
    return f"p < {LOWEST_P:g}" if p < LOWEST_P else f"p = {p:.2g}"


def _handles(found: pd.DataFrame) -> list[Any]:
    handles: list[Any] = [
        Patch(color="#777777", alpha=0.55, label="the arm's ensemble"),
        Line2D([], [], **FLAT, label="flat"),
    ]
    if (found["method"] == "oi").any():
        handles.insert(
            1,
            Line2D(
                [],
                [],
                color=BASELINES["oi"].color,
                drawstyle="steps-mid",
                linewidth=1.2,
                label=method_label("oi"),
            ),
        )
    return handles
