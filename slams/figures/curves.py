"""Ablation curves: scores against the strength of each degradation, averaged and by level."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from slams.errors import SlamsError
from slams.figures.style import (
    AXIS_LABELS,
    BASELINES,
    PAPER_MODELS,
    SCORE_LABELS,
    WIDTH_INCHES,
    Style,
    legend_below,
    level_label,
    look,
    method_label,
    new_figure,
    styles_for,
)
from slams.figures.tables import chosen, heights
from slams.verification import STATION_LEVEL

Array = NDArray[np.float64]
# What a score would be for a perfect analysis, where that is not simply "as small as possible".
IDEAL: Final = {"bias": 0.0, "spread_skill": 1.0}
# Noise levels and factors double from one to the next: equal steps on a logarithmic axis.
LOGARITHMIC: Final = frozenset({"noise"})
WIDE: Final = 12.0  # scores of one panel that differ by such a factor have a logarithmic axis
SMALL: Final = {"lines.markersize": 3.5, "lines.linewidth": 1.1}
BAND: Final = "OI, all arms' observations"
ALONE: Final = 0.09  # half the length of a baseline of one value, over the width of its panel


def ablation_curves(
    scores: pd.DataFrame,
    score: str = "crps",
    level: str = "all",
    arms: Sequence[str] | None = None,
    paper: pd.DataFrame | None = None,
) -> Figure:
    """A score against the strength of each degradation: one panel an axis, one line an arm.

    `scores` is the merged table (`slams.verification.COLUMNS`); `arms` the experiment's arms in
    order, which fixes their colours. Bars are the table's 95 % intervals. Arms of axis "none"
    have no background and are a level line in every panel. Grey and black lines are the classical
    analyses of the observations of the first arm of each panel; the grey band holds the optimal
    interpolations of all arms' observations. `paper` holds Wasserstein distances of the paper
    (model, axis, value, level_hPa, wasserstein_norm), shown beside ours where the levels agree.
    """
    rows = chosen(scores, score, level)
    with look():
        styles = styles_for(scores, arms)
        panels = _axes_of(rows)
        width = max(4.5, WIDTH_INCHES * len(panels) / 3)
        figure = new_figure(width, 3.3 + 0.06 * (len(styles) + len(BASELINES)))
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        theirs = _of_paper(paper, score, scores, level)
        handles: dict[str, Any] = {}
        for axes, axis in zip(grid, panels, strict=True):
            _panel(axes, rows, axis, styles, handles, theirs)
            axes.set_xlabel(AXIS_LABELS.get(axis, "no background" if axis == "none" else axis))
            axes.set_title(axis if axis != "none" else "")
        _score_axis(grid[0], score, rows)
        where = "mean of levels" if level == "all" else level_label(level)
        # In two lines: a label longer than its axis is cut off.
        grid[0].set_ylabel(f"{SCORE_LABELS.get(score, score)}\n{where}")
        legend_below(figure, _in_order(handles, styles))
    return figure


def ablation_levels(
    scores: pd.DataFrame,
    score: str = "crps",
    arms: Sequence[str] | None = None,
    paper: pd.DataFrame | None = None,
) -> Figure:
    """The same level by level: one row of panels a level, one column an axis.

    The lowest row is that of the stations that were held out ("2 m"), where there are such.
    """
    every = chosen(scores, score)
    found = list(dict.fromkeys(every["level"]))
    levels = heights(found) + [level for level in found if level == STATION_LEVEL]
    if not levels:
        raise SlamsError(f"the table has the score {score} at no single level: verify again")
    with look(SMALL):
        styles = styles_for(scores, arms)
        panels = _axes_of(every)
        width = max(4.5, WIDTH_INCHES * len(panels) / 3)
        figure = new_figure(width, 1.3 + 1.3 * len(levels))
        grid = figure.subplots(len(levels), len(panels), sharey="row", squeeze=False)
        handles: dict[str, Any] = {}
        for row, level in zip(grid, levels, strict=True):
            rows = every[every["level"] == level]
            theirs = _of_paper(paper, score, scores, level)
            for axes, axis in zip(row, panels, strict=True):
                if axis in set(rows["axis"]) or not rows[rows["axis"] == "none"].empty:
                    _panel(axes, rows, axis, styles, handles, theirs, ticks_of=every)
                else:
                    axes.set_axis_off()
            _score_axis(row[0], score, rows)
            row[0].set_ylabel(level_label(level))
            for axes in row if level != levels[-1] else ():
                axes.tick_params(labelbottom=False)
        for column, axis in enumerate(panels):
            grid[0, column].set_title(axis if axis != "none" else "")
            label = AXIS_LABELS.get(axis, "no background" if axis == "none" else axis)
            grid[-1, column].set_xlabel(label)
        figure.supylabel(SCORE_LABELS.get(score, score), fontsize=9)
        legend_below(figure, _in_order(handles, styles))
    return figure


def _axes_of(rows: pd.DataFrame) -> list[str]:
    return [axis for axis in dict.fromkeys(rows["axis"]) if axis != "none"] or ["none"]


def _panel(
    axes: Any,
    rows: pd.DataFrame,
    axis: str,
    styles: Mapping[str, Style],
    handles: dict[str, Any],
    paper: pd.DataFrame | None,
    ticks_of: pd.DataFrame | None = None,
) -> None:
    """One axis of one level; what is drawn enters `handles` by its name."""
    here = rows[rows["axis"] == axis]
    within = rows if ticks_of is None else ticks_of
    values = sorted(set(within.loc[within["axis"] == axis, "axis_value"]))
    place = np.log2 if axis in LOGARITHMIC and values[0] > 0 else np.asarray
    span = float(place(values[-1]) - place(values[0])) or 1.0
    analyses = here[here["method"] == "analysis"]
    ours = [arm for arm in styles if arm in set(analyses["arm"])]
    for i, arm in enumerate(ours):
        line = analyses[analyses["arm"] == arm].sort_values("axis_value")
        # Side by side, so that the bars of different arms do not hide one another.
        shift = min(0.018, 0.12 / len(ours)) * span * (i - (len(ours) - 1) / 2)
        x = np.asarray(place(line["axis_value"].to_numpy(np.float64))) + shift
        axes.errorbar(x, line["value"], bars(line), **styles[arm].keywords(), capsize=2)
        handles[arm] = handle(arm, styles[arm])
    _without_background(axes, rows, axis, styles, handles)
    _baselines(axes, here, place, handles)
    if paper is not None:
        _paper_lines(axes, paper[paper["axis"] == axis], place, handles)
    ticks = [float(place(value)) for value in values]
    axes.set_xticks(ticks, [f"{value:g}" for value in values] if axis != "none" else [""])
    axes.set_xlim(ticks[0] - 0.12 * span, ticks[-1] + 0.12 * span)


def _without_background(
    axes: Any,
    rows: pd.DataFrame,
    axis: str,
    styles: Mapping[str, Style],
    handles: dict[str, Any],
) -> None:
    """Level lines of the arms that no axis touches."""
    if axis == "none":
        return
    level = rows[(rows["axis"] == "none") & (rows["method"] == "analysis")]
    for row in level.itertuples(index=False):
        style = styles[str(row.arm)]
        axes.axhline(row.value, color=style.color, linestyle=style.line)
        axes.axhspan(row.lower, row.upper, color=style.color, alpha=0.12, linewidth=0)
        handles[str(row.arm)] = handle(str(row.arm), Style(style.color, "", style.line))


def _baselines(axes: Any, here: pd.DataFrame, place: Any, handles: dict[str, Any]) -> None:
    for method, style in BASELINES.items():
        found = here[(here["method"] == method) & here["value"].notna()]
        if found.empty:
            continue
        line = found.drop_duplicates("axis_value").sort_values("axis_value")
        x = np.asarray(place(line["axis_value"].to_numpy(np.float64)))
        of_all = found.groupby("axis_value")["value"].agg(["min", "max"]).loc[line["axis_value"]]
        value, low, high = line["value"].to_numpy(), of_all["min"], of_all["max"]
        if len(x) == 1:
            # Of one value a line and a band have no length of their own.
            x = x + ALONE * np.array([-1, 1])
            value, low, high = (np.repeat(one, 2) for one in (value, low, high))
        # Thinner than an arm, and below it.
        axes.plot(x, value, **style.keywords() | {"linewidth": 1.1}, zorder=1.5)
        handles[method] = handle(method_label(method), style)
        if method == "oi" and not np.allclose(low, high):
            axes.fill_between(x, low, high, color="black", alpha=0.08, linewidth=0, zorder=0)
            handles["band"] = Patch(color="black", alpha=0.08, label=BAND)


def _of_paper(
    paper: pd.DataFrame | None, score: str, scores: pd.DataFrame, level: str
) -> pd.DataFrame | None:
    """The paper's distances at a level or averaged; None where its levels are not ours."""
    if paper is None or score != "wasserstein":
        return None
    theirs, ours = set(paper["level_hPa"].astype(float)), set(map(float, heights(scores["level"])))
    if theirs != ours or level == STATION_LEVEL:
        return None
    if level != "all":
        return paper[paper["level_hPa"].astype(float) == float(level)]
    mean = paper.groupby(["model", "axis", "value"], sort=False)["wasserstein_norm"].mean()
    return mean.reset_index()


def _paper_lines(axes: Any, rows: pd.DataFrame, place: Any, handles: dict[str, Any]) -> None:
    for number, (model, line) in enumerate(rows.groupby("model", sort=False)):
        style = PAPER_MODELS[number % len(PAPER_MODELS)]
        ordered = line.sort_values("value")
        x = np.asarray(place(ordered["value"].to_numpy(np.float64)))
        look_of = style.keywords() | {"linewidth": 0.9, "markerfacecolor": "white"}
        axes.plot(x, ordered["wasserstein_norm"], **look_of, zorder=1.2)
        label = f"paper's {model}"
        handles[label] = Line2D([], [], label=label, **look_of)


def _score_axis(axes: Any, score: str, rows: pd.DataFrame) -> None:
    """The ideal value, and a logarithmic axis where one arm would flatten all others."""
    if score in IDEAL:
        for panel in axes.get_shared_y_axes().get_siblings(axes):
            panel.axhline(IDEAL[score], color="black", linewidth=0.8, zorder=0)
    values = rows["value"].dropna()
    if values.min() > 0 and values.max() > WIDE * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _in_order(handles: Mapping[str, Any], styles: Mapping[str, Style]) -> list[Any]:
    """Arms, then baselines, then the rest."""
    first = [name for name in [*styles, *BASELINES] if name in handles]
    return [handles[name] for name in [*first, *(n for n in handles if n not in first)]]


def bars(rows: pd.DataFrame) -> Array:
    """Lengths below and above the value, (2, rows); zero where there is no interval."""
    value, lower, upper = (rows[c].to_numpy(np.float64) for c in ("value", "lower", "upper"))
    # A percentile interval of a skewed statistic may leave its value outside by a little.
    return np.nan_to_num(np.stack([value - lower, upper - value]).clip(min=0))


def handle(label: str, style: Style) -> Line2D:
    """A line of the legend."""
    return Line2D([], [], label=label, **style.keywords())
