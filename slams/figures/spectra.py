"""Power spectra: does an analysis have the truth's small scales?"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, ScalarFormatter

from slams.errors import SlamsError
from slams.figures.curves import handle
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

MOST_LEVELS: Final = 4
TRUTH: Final = Style("#000000", "", "-")
# Of the classical analyses, those that are analyses of the same moment.
SHOWN: Final = ("interpolation", "oi", "letkf")
TICKS: Final = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200)


def spectra(
    scores: pd.DataFrame, axis: str, axis_value: float, arms: Sequence[str] | None = None
) -> Figure:
    """Power by zonal wavenumber above, its ratio to the truth's below: one column a level.

    At the cell `axis`, `axis_value`; arms without a background are shown too. The power of an arm
    is that of its members, not of their mean. Grey and black: the classical analyses of the
    observations of the first arm. Wavenumber 0, the zonal mean, is left out.
    """
    rows = at_cell(scores[(scores["case"] == "all") & (scores["bin"] > 0)], axis, axis_value)
    levels = some(heights(list(rows.loc[rows["score"] == "power_ratio", "level"])), MOST_LEVELS)
    if not levels:
        raise SlamsError(f"the table has no spectrum at {axis}-{axis_value:g}: verify again")
    with look():
        styles = {a: s for a, s in styles_for(scores, arms).items() if a in set(rows["arm"])}
        figure = new_figure(max(4.5, WIDTH_INCHES * len(levels) / 4), 5.0)
        grid = figure.subplots(
            2, len(levels), sharex=True, sharey="row", squeeze=False, height_ratios=[1.0, 1.2]
        )
        for (above, below), level in zip(grid.T, levels, strict=True):
            here = rows[rows["level"] == level]
            _panel(above, here[here["score"] == "power"], styles)
            _panel(below, here[here["score"] == "power_ratio"], styles)
            _truth(above, here)
            below.axhline(1, color="black", linewidth=0.8, zorder=0)
            above.set_title(level_label(level))
            below.set_xlabel("zonal wavenumber")
        grid[0, 0].set_yscale("log")
        _wavenumbers(grid[0, 0], int(rows["bin"].max()))
        _ratios(grid[1, 0], rows[rows["score"] == "power_ratio"])
        grid[0, 0].set_ylabel("power (K²)")
        grid[1, 0].set_ylabel("power over the truth's (ratio)")
        legend_below(figure, _handles(rows, styles))
    return figure


def _panel(axes: Any, rows: pd.DataFrame, styles: dict[str, Style]) -> None:
    for method in SHOWN:
        found = rows[rows["method"] == method]
        if len(found):
            first = found[found["arm"] == found["arm"].iloc[0]].sort_values("bin")
            axes.plot(first["bin"], first["value"], **_thin(BASELINES[method]), linewidth=1.0)
    ours = rows[rows["method"] == "analysis"]
    for arm, style in styles.items():
        line = ours[ours["arm"] == arm].sort_values("bin")
        axes.plot(line["bin"], line["value"], **_thin(style), linewidth=1.4)


def _truth(axes: Any, rows: pd.DataFrame) -> None:
    """The truth's own power, which is an arm's over its ratio."""
    keys = ["arm", "bin"]
    ours = rows[rows["method"] == "analysis"]
    power, ratio = (
        ours[ours["score"] == score].set_index(keys)["value"] for score in ("power", "power_ratio")
    )
    truth = (power / ratio).groupby("bin").first()
    axes.plot(truth.index, truth, **TRUTH.keywords(), linewidth=2.2, zorder=1.5, alpha=0.85)


def _thin(style: Style) -> dict[str, Any]:
    """Without markers, of which a spectrum would have too many."""
    return {"color": style.color, "linestyle": style.line}


def _wavenumbers(axes: Any, largest: int) -> None:
    axes.set_xscale("log")
    axes.set_xlim(0.93, largest * 1.07)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if tick <= largest]))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _ratios(axes: Any, rows: pd.DataFrame) -> None:
    """Half and double are equally far from one."""
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:.3g}"))
    shown = rows.loc[rows["method"].isin(["analysis", "oi"]), "value"]
    low, high = np.nanquantile(shown[shown > 0], [0.01, 0.99])
    axes.set_ylim(max(min(low, 0.7) / 1.1, 2**-8), min(max(high, 1.4) * 1.1, 2**8))


def _handles(rows: pd.DataFrame, styles: dict[str, Style]) -> list[Line2D]:
    truth = Line2D([], [], label="truth", **TRUTH.keywords(), linewidth=2.2)
    ours = [handle(arm, Style(style.color, "", style.line)) for arm, style in styles.items()]
    theirs = [
        handle(method_label(method), Style(BASELINES[method].color, "", BASELINES[method].line))
        for method in SHOWN
        if method in set(rows["method"])
    ]
    return [truth, *ours, *theirs]
