"""Vertical profiles: error and spread by level."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from slams.figures.style import (
    BASELINES,
    Style,
    legend_below,
    level_axis,
    look,
    method_label,
    new_figure,
    styles_for,
)
from slams.figures.tables import at_cell, heights
from slams.verification import summary

SMALLEST_PANEL = 2.7  # inches


def profiles(
    scores: pd.DataFrame, axis: str, axis_value: float, arms: Sequence[str] | None = None
) -> Figure:
    """RMSE (solid, shaded 95 % interval) and spread (dashed) by level: one panel an arm.

    At the cell `axis`, `axis_value`; arms without a background are shown too. In each panel in
    grey and black the RMSE of the classical analyses of the same arm's observations. Where an
    ensemble is calibrated, its dashed line lies on the solid one.
    """
    rows = at_cell(summary(scores), axis, axis_value)
    levels = heights(list(rows["level"]))
    rows = rows[rows["level"].isin(levels)]
    with look():
        styles = {a: s for a, s in styles_for(scores, arms).items() if a in set(rows["arm"])}
        columns = min(3, len(styles))
        lines = -(-len(styles) // columns)
        figure = new_figure(max(4.5, 3 * columns), 0.9 + SMALLEST_PANEL * lines)
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, (arm, style) in zip(grid, styles.items(), strict=False):
            _panel(axes, rows[rows["arm"] == arm], style)
            axes.set_title(arm, color=style.color, fontweight="bold")
        grid[0].set_xlim(left=0)
        level_axis(grid[0], [float(level) for level in levels])
        for axes in grid[len(styles) :]:
            axes.remove()
        for i, axes in enumerate(grid[: len(styles)]):
            axes.set_xlabel("RMSE, spread (K)")
            axes.tick_params(labelbottom=True)
            if i % columns == 0:
                axes.set_ylabel("pressure (hPa)")
        legend_below(figure, _handles(set(rows["method"])))
    return figure


def _panel(axes: Any, rows: pd.DataFrame, style: Style) -> None:
    def by_level(method: str, score: str) -> pd.DataFrame:
        part = rows[(rows["method"] == method) & (rows["score"] == score)]
        return part.assign(hpa=part["level"].astype(float)).sort_values("hpa")

    for method, grey in BASELINES.items():
        part = by_level(method, "rmse")
        axes.plot(part["value"], part["hpa"], **_thin(grey))
    skill, width = by_level("analysis", "rmse"), by_level("analysis", "spread")
    axes.fill_betweenx(
        skill["hpa"], skill["lower"], skill["upper"], color=style.color, alpha=0.15, linewidth=0
    )
    axes.plot(skill["value"], skill["hpa"], "-", color=style.color, marker=style.marker)
    axes.plot(
        width["value"], width["hpa"], "--", color=style.color, marker=style.marker, mfc="white"
    )


def _thin(style: Style) -> dict[str, Any]:
    return style.keywords() | {"marker": style.marker or ".", "linewidth": 1.0, "markersize": 4}


def _handles(methods: set[str]) -> list[Line2D]:
    return [
        Line2D([], [], color="black", marker="o", label="RMSE of the arm's mean"),
        Line2D([], [], color="black", ls="--", marker="o", mfc="white", label="spread of the arm"),
        *(
            Line2D([], [], label=f"RMSE, {method_label(name)}", **_thin(style))
            for name, style in BASELINES.items()
            if name in methods
        ),
    ]
