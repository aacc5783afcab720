"""The convergence figure: distance to the exact posterior against what the network is asked."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sampler import DEFAULT, DPS, OURS

from slams.figures.style import WIDTH_INCHES, Style, arm_styles, look, new_figure

AXES = {
    "passes": "network evaluations (forward passes)",
    "calls": "forward passes + vector-Jacobian products",
}
GAP = 0.062  # of the axis's height, between the labels of two lines


def convergence(rows: pd.DataFrame) -> Figure:
    """Two columns, guidance and samplers; two rows, by forward passes and by all calls.

    ``rows`` are those of :func:`sampler.compare`. A point is the geometric mean, over worlds and
    sets of observations, of the distance over that of as many exact draws.
    """
    shown = _means(rows)
    ours = shown["sampler"] == OURS
    columns = {
        f"guidance (sampler {OURS}, DPS with DDPM)": (
            shown[ours | (shown["guidance"] == DPS)],
            "guidance",
        ),
        "sampler (guidance MMPS, conjugate gradients)": (
            shown[shown["guidance"] == DEFAULT],
            "sampler",
        ),
    }
    with look():
        figure = new_figure(WIDTH_INCHES, 6.6)
        panels = figure.subplots(2, 2, sharey="col")
        for column, (title, (table, key)) in enumerate(columns.items()):
            # The default first, so that it is the same line in both columns.
            names = sorted(set(table[key]), key=lambda name: (name not in (DEFAULT, OURS), name))
            styles = arm_styles(names)
            for row, axis in enumerate(AXES):
                _panel(panels[row, column], table, key, axis, styles)
            panels[0, column].set_title(title)
            panels[0, column].set_xlabel(AXES["passes"])
        for row in panels:
            row[0].set_ylabel("distance to the exact posterior\n(1: as many exact draws)")
    return figure


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a method and number of levels, of the problems that all methods were given."""
    table = rows.assign(ratio=rows["distance"] / rows["floor"])
    table["calls"] = table["passes"] + table["products"]
    methods = table.groupby(["guidance", "sampler"]).ngroups
    given = table.groupby(["world", "observations", "steps"])["guidance"].transform("size")
    common = table[given == methods]
    groups = common.groupby(["guidance", "sampler", "steps"])
    means = groups[["passes", "calls"]].mean()
    # A problem on which a method diverged leaves its point out: no mean hides it.
    means["ratio"] = np.exp(groups["ratio"].agg(lambda x: np.log(x).mean(skipna=False)))
    return means.dropna().reset_index()


def _panel(axes: Any, table: pd.DataFrame, key: str, axis: str, styles: dict[str, Style]) -> None:
    axes.set(xscale="log", yscale="log", xlabel=AXES[axis])
    ends = {}
    for name, style in styles.items():
        line = table[table[key] == name].sort_values("steps")
        main = name in (DEFAULT, OURS)
        axes.plot(line[axis], line["ratio"], **style.keywords(), linewidth=2.4 if main else 1.3)
        ends[name] = (line[axis].iloc[-1], line["ratio"].iloc[-1])
    axes.axhline(1, color="black", linewidth=0.8, zorder=0)
    low, high = table["ratio"].min(), table["ratio"].max()
    bottom, top = min(low, 1) / 1.25, high * 1.25
    axes.set_ylim(bottom, top)
    ticks = [t for t in (1, 1.5, 2, 3, 5, 10, 20, 50, 100) if bottom < t < top]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    most = table[axis].max()
    ticks = [t for t in (4, 8, 16, 32, 64, 128, 256) if table[axis].min() <= t <= most * 1.05]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    _labels(axes, ends, styles, (np.log(bottom), np.log(top)))


def _labels(
    axes: Any,
    ends: dict[str, tuple[float, float]],
    styles: dict[str, Style],
    extent: tuple[float, float],
) -> None:
    """Each line's name to the right of the panel, at its end's height as far as there is room."""
    low, high = extent
    height = {name: (np.log(y) - low) / (high - low) for name, (_, y) in ends.items()}
    place, last = {}, -np.inf
    for name in sorted(height, key=lambda name: height[name]):
        place[name] = last = max(height[name], last + GAP)
    for name, y in place.items():
        axes.annotate(
            name,
            xy=ends[name],
            xytext=(1.04, y),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=styles[name].color,
            fontweight="bold" if name in (DEFAULT, OURS) else "normal",
            arrowprops={
                "arrowstyle": "-",
                "color": styles[name].color,
                "linewidth": 0.5,
                "relpos": (0, 0.5),
            },
        )
