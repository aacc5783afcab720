"""Figures of numbers: ablation curves, profiles, training losses, observation errors."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from slams.errors import SlamsError
from slams.figures.style import (
    AXIS_LABELS,
    BASELINES,
    COLOURS,
    SCORE_LABELS,
    WIDTH_INCHES,
    Style,
    legend_below,
    level_axis,
    look,
    new_figure,
    styles_for,
)

Array = NDArray[np.float64]
# What a score would be for a perfect analysis, where that is not simply "as small as possible".
IDEAL: Final = {"bias": 0.0, "spread_skill": 1.0}
# Noise levels and factors double from one to the next: equal steps on a logarithmic axis.
LOGARITHMIC: Final = frozenset({"noise"})
LOGARITHMIC_RANGE: Final = 5.0  # a loss curve that spans more than this has a logarithmic axis


def ablation_curves(
    scores: pd.DataFrame,
    score: str = "crps",
    level: str = "all",
    arms: Sequence[str] | None = None,
) -> Figure:
    """A score against the strength of each degradation: one panel an axis, one line an arm.

    `scores` is the merged table (`slams.verification.COLUMNS`); `arms` the experiment's arms in
    order, which fixes their colours. Bars are the table's 95 % intervals. Arms of axis "none"
    have no background and are a level line in every panel. Grey lines: climatology, and the
    interpolation of the observations of the first arm of each panel.
    """
    chosen = scores[(scores["score"] == score) & (scores["level"] == level)]
    if chosen.empty:
        known = sorted(set(scores["score"])), list(dict.fromkeys(scores["level"]))
        raise SlamsError(
            f"the table has no score {score} at level {level}; it has {', '.join(known[0])} "
            f"at {', '.join(known[1])}"
        )
    with look():
        styles = styles_for(scores, arms)
        panels = [axis for axis in dict.fromkeys(chosen["axis"]) if axis != "none"] or ["none"]
        figure = new_figure(max(4.5, WIDTH_INCHES * len(panels) / 3), 3.9)
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        handles: dict[str, Any] = {}
        for axes, axis in zip(grid, panels, strict=True):
            _ablation_panel(axes, chosen, axis, styles, handles)
            if score in IDEAL:
                axes.axhline(IDEAL[score], color="black", linewidth=0.8, zorder=0)
        grid[0].set_ylabel(
            SCORE_LABELS.get(score, score)
            + (", mean of levels" if level == "all" else f", {level} hPa")
        )
        order = [*styles, *BASELINES]
        legend_below(figure, [handles[name] for name in order if name in handles])
    return figure


def _ablation_panel(
    axes: Any,
    chosen: pd.DataFrame,
    axis: str,
    styles: Mapping[str, Style],
    handles: dict[str, Any],
) -> None:
    here = chosen[chosen["axis"] == axis]
    values = sorted(set(here["axis_value"]))
    place = np.log2 if axis in LOGARITHMIC and values[0] > 0 else np.asarray
    span = float(place(values[-1]) - place(values[0])) or 1.0
    ours = [arm for arm in styles if arm in set(here["arm"])]
    for i, arm in enumerate(ours):
        rows = here[(here["arm"] == arm) & (here["method"] == "analysis")].sort_values("axis_value")
        # Side by side, so that the bars of different arms do not hide one another.
        shift = 0.018 * span * (i - (len(ours) - 1) / 2)
        x = np.asarray(place(rows["axis_value"].to_numpy(np.float64))) + shift
        axes.errorbar(x, rows["value"], _bars(rows), **styles[arm].keywords(), capsize=2)
        handles[arm] = _handle(arm, styles[arm])
    for arm, rows in chosen[(chosen["axis"] == "none") & (axis != "none")].groupby("arm"):
        row = rows[rows["method"] == "analysis"].iloc[0]
        style = styles[str(arm)]
        axes.axhline(row["value"], color=style.color, linestyle=style.line)
        axes.axhspan(row["lower"], row["upper"], color=style.color, alpha=0.12, linewidth=0)
        handles[str(arm)] = _handle(str(arm), Style(style.color, "", style.line))
    for method, style in BASELINES.items():
        rows = (
            here[here["method"] == method].drop_duplicates("axis_value").sort_values("axis_value")
        )
        if rows["value"].notna().any():
            x = np.asarray(place(rows["axis_value"].to_numpy(np.float64)))
            axes.plot(x, rows["value"], **style.keywords(), zorder=1)
            handles[method] = _handle(method, style)
    ticks = [float(place(value)) for value in values]
    axes.set_xticks(ticks, [f"{value:g}" for value in values] if axis != "none" else [""])
    axes.set_xlim(ticks[0] - 0.12 * span, ticks[-1] + 0.12 * span)
    axes.set_xlabel(AXIS_LABELS.get(axis, "no background" if axis == "none" else axis))
    axes.set_title(axis if axis != "none" else "")


def _bars(rows: pd.DataFrame) -> Array:
    """Lengths below and above the value, (2, rows); zero where there is no interval."""
    value, lower, upper = (rows[c].to_numpy(np.float64) for c in ("value", "lower", "upper"))
    # A percentile interval of a skewed statistic may leave its value outside by a little.
    return np.nan_to_num(np.stack([value - lower, upper - value]).clip(min=0))


def _handle(label: str, style: Style) -> Line2D:
    return Line2D([], [], label=label, **style.keywords())


def profiles(
    scores: pd.DataFrame, axis: str, axis_value: float, arms: Sequence[str] | None = None
) -> Figure:
    """RMSE (solid, shaded 95 % interval) and spread (dashed) by level: one panel an arm.

    At the cell `axis`, `axis_value`; arms without a background are shown too. In each panel in
    grey: climatology, and the interpolation of the same arm's observations. Where an ensemble is
    calibrated, its dashed line lies on the solid one.
    """
    at_cell = (scores["axis"] == axis) & np.isclose(scores["axis_value"], axis_value)
    chosen = scores[(at_cell | (scores["axis"] == "none")) & (scores["level"] != "all")]
    if not at_cell.any():
        cells = scores[["axis", "axis_value"]].drop_duplicates().itertuples(index=False)
        raise SlamsError(
            f"the table has no cell {axis}-{axis_value:g}; it has "
            + ", ".join(f"{cell.axis}-{cell.axis_value:g}" for cell in cells)
        )
    with look():
        styles = {a: s for a, s in styles_for(scores, arms).items() if a in set(chosen["arm"])}
        columns = min(3, len(styles))
        lines = -(-len(styles) // columns)
        figure = new_figure(max(4.5, 3 * columns), 0.9 + 2.7 * lines)
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, (arm, style) in zip(grid, styles.items(), strict=False):
            _profile_panel(axes, chosen[chosen["arm"] == arm], style)
            axes.set_title(arm, color=style.color, fontweight="bold")
        grid[0].set_xlim(left=0)
        level_axis(grid[0], [float(level) for level in dict.fromkeys(chosen["level"])])
        for axes in grid[len(styles) :]:
            axes.remove()
        for i, axes in enumerate(grid[: len(styles)]):
            axes.set_xlabel("RMSE, spread (K)")
            axes.tick_params(labelbottom=True)
            if i % columns == 0:
                axes.set_ylabel("pressure (hPa)")
        legend_below(figure, _profile_handles())
    return figure


def _profile_panel(axes: Any, rows: pd.DataFrame, style: Style) -> None:
    def by_level(method: str, score: str) -> pd.DataFrame:
        part = rows[(rows["method"] == method) & (rows["score"] == score)]
        return part.assign(hpa=part["level"].astype(float)).sort_values("hpa")

    for method, grey in BASELINES.items():
        part = by_level(method, "rmse")
        axes.plot(part["value"], part["hpa"], **grey.keywords() | {"marker": grey.marker or "."})
    skill, width = by_level("analysis", "rmse"), by_level("analysis", "spread")
    axes.fill_betweenx(
        skill["hpa"], skill["lower"], skill["upper"], color=style.color, alpha=0.15, linewidth=0
    )
    axes.plot(skill["value"], skill["hpa"], "-", color=style.color, marker=style.marker)
    axes.plot(
        width["value"], width["hpa"], "--", color=style.color, marker=style.marker, mfc="white"
    )


def _profile_handles() -> list[Line2D]:
    return [
        Line2D([], [], color="black", marker="o", label="RMSE of the mean"),
        Line2D([], [], color="black", ls="--", marker="o", mfc="white", label="ensemble spread"),
        *(
            Line2D([], [], label=f"RMSE, {name}", **s.keywords() | {"marker": s.marker or "."})
            for name, s in BASELINES.items()
        ),
    ]


def losses(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Training (thin) and validation (thick) loss against step, one panel a network.

    Each table has the columns step, train_loss, validation_loss (missing where not evaluated)
    and seconds. Losses of different networks have different meanings, hence the panels.
    """
    if not curves:
        raise SlamsError("there is no loss curve to draw: train a network first")
    with look():
        columns = min(3, len(curves))
        lines = -(-len(curves) // columns)
        figure = new_figure(max(4.5, 3 * columns), 0.6 + 2.5 * lines)
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, (name, curve) in zip(grid, curves.items(), strict=False):
            seen = curve.dropna(subset=["validation_loss"])
            axes.plot(curve["step"], curve["train_loss"], color=COLOURS[4], linewidth=0.9)
            axes.plot(
                seen["step"], seen["validation_loss"], color=COLOURS[0], marker="o", markersize=3
            )
            both = curve[["train_loss", "validation_loss"]]
            low, high = float(both.min().min()), float(both.max().max())
            # A likelihood may be negative, and a small range has no tick at a power of ten.
            if low > 0 and high > LOGARITHMIC_RANGE * low:
                axes.set_yscale("log")
            minutes = curve["seconds"].max() / 60
            axes.set_title(f"{name} ({minutes:.1f} min)")
            axes.set_xlabel("optimiser step")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        for i, axes in enumerate(grid):
            if i >= len(curves):
                axes.remove()
            elif i % columns == 0:
                axes.set_ylabel("loss (normalised units)")
        training = Line2D([], [], color=COLOURS[4], linewidth=0.9, label="training")
        validation = Line2D([], [], color=COLOURS[0], marker="o", ms=3, label="validation")
        legend_below(figure, [training, validation])
    return figure


def operator_fit(residuals: pd.DataFrame, bins: int = 10) -> Figure:
    """Is the error that each observation operator claims the one it makes? One panel a stream.

    `residuals` has the columns stream, predicted_sd and residual (observation minus predicted,
    K), one row an observation of data not fitted. Points: the rms residual of equally filled
    bins of the predicted standard deviation, with its 95 % sampling interval; on the line the
    error model is right, above it overconfident.
    """
    if residuals.empty:
        raise SlamsError("there is no residual to draw: fit an observation operator first")
    streams = list(dict.fromkeys(residuals["stream"]))
    with look():
        figure = new_figure(max(4.0, 3.3 * len(streams)), 3.6)
        grid = figure.subplots(1, len(streams), squeeze=False)[0]
        for axes, stream, colour in zip(grid, streams, COLOURS, strict=False):
            rows = residuals[residuals["stream"] == stream]
            predicted, actual, count = _binned(rows, bins)
            axes.errorbar(
                predicted,
                actual,
                1.96 * actual / np.sqrt(2 * count),
                fmt="o",
                color=colour,
                capsize=2,
            )
            top = 1.15 * float(max(predicted.max(), actual.max()))
            axes.plot([0, top], [0, top], color="black", linewidth=0.8)
            axes.set(xlim=(0, top), ylim=(0, top), aspect="equal")
            axes.set_xlabel("predicted error, standard deviation (K)")
            axes.set_title(f"{stream} ({len(rows):,} observations)")
        grid[0].set_ylabel("actual error, rms residual (K)")
    return figure


def _binned(rows: pd.DataFrame, bins: int) -> tuple[Array, Array, Array]:
    """Rms predicted and actual error and the count of each bin of predicted error."""
    predicted = rows["predicted_sd"].to_numpy(np.float64)
    # Repeated quantiles (an error model with a few values only) make fewer bins.
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, bins + 1)))
    bin_of = np.digitize(predicted, edges[1:-1], right=False)
    groups = pd.DataFrame({"p": predicted**2, "r": rows["residual"].to_numpy(np.float64) ** 2})
    means = groups.groupby(bin_of).mean()
    count = groups.groupby(bin_of).size().to_numpy(np.float64)
    return np.sqrt(means["p"].to_numpy()), np.sqrt(means["r"].to_numpy()), count
