"""Are the observation errors those that were claimed? Calibration of each stream's error model."""

from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from slams.errors import SlamsError
from slams.figures.style import WIDTH_INCHES, legend_below, look, new_figure

Array = NDArray[np.float64]
MOST_COLUMNS: Final = 3
GREY: Final = "#444444"  # colours are the arms'
# Where an error model says one thing of all observations, so near are its values to another.
ALIKE: Final = 1.02
SIDES, ABOVE_BELOW = 0.75, 1.05  # inches a panel's labels and titles take beside it, and in height
BEYOND: Final = 4.0  # times the errors there are: an inflated error that is told, not drawn


def operator_fit(residuals: pd.DataFrame, bins: int = 10) -> Figure:
    """Is the error that each observation operator claims the one it makes? One panel a stream.

    `residuals` has the columns stream, unit, predicted_sd, assimilated_sd, residual (observation
    minus what the truth gives) and refused, one row an observation of data not fitted. Points:
    the rms residual of equally filled bins of the predicted standard deviation, with its 95 %
    sampling interval, without what is refused as a gross error. On the line the error model is
    right, above it overconfident. Hollow squares: the same residuals at the error they are
    assimilated with, where that was inflated because errors are correlated.
    """
    if residuals.empty:
        raise SlamsError("there is no residual to draw: fit an observation operator first")
    streams = list(dict.fromkeys(residuals["stream"]))
    columns = min(MOST_COLUMNS, len(streams))
    rows = -(-len(streams) // columns)
    with look():
        width = max(4.0, WIDTH_INCHES * columns / 3)
        # Panels are square: as high as they are wide, with room for titles and labels.
        figure = new_figure(width, 0.4 + rows * (width / columns - SIDES + ABOVE_BELOW))
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        inflated = False
        for axes, stream in zip(grid, streams, strict=False):
            of_stream = residuals[residuals["stream"] == stream]
            inflated |= _panel(axes, of_stream, stream, bins)
        for axes in grid[len(streams) :]:
            axes.remove()
        legend_below(figure, _handles(inflated))
    return figure


def _panel(axes: Any, rows: pd.DataFrame, stream: str, bins: int) -> bool:
    """Draw one stream; whether what its errors were inflated to is drawn, too."""
    kept = rows[~rows["refused"].to_numpy(bool)]
    if kept.empty:
        raise SlamsError(
            f"stream {stream}: every residual is refused as a gross error; mend the operator's fit"
        )
    predicted, actual, count = binned(kept, "predicted_sd", bins)
    reach = [predicted.max(), actual.max()]
    claimed, own = (np.sqrt((kept[c] ** 2).mean()) for c in ("assimilated_sd", "predicted_sd"))
    inflated = bool(claimed > ALIKE * own)
    unit = str(rows["unit"].iloc[0])
    if claimed > BEYOND * max(reach):
        # Drawn to scale it would leave a point of all the rest.
        text = f"assimilated with {claimed:.3g} {unit}"
        axes.text(0.97, 0.03, text, transform=axes.transAxes, ha="right", fontsize=8)
        inflated = False
    elif inflated:
        claimed_sd, again, _ = binned(kept, "assimilated_sd", bins)
        axes.plot(claimed_sd, again, "s", color=GREY, markerfacecolor="white", markersize=4)
        reach.append(claimed_sd.max())
    half = 1.96 * actual / np.sqrt(2 * count)
    axes.errorbar(predicted, actual, half, fmt="o", color=GREY, capsize=2)
    top = 1.1 * float(max(*reach, (actual + half).max()))
    axes.plot([0, top], [0, top], color="black", linewidth=0.8)
    axes.set(xlim=(0, top), ylim=(0, top), aspect="equal")
    axes.set_xlabel(f"claimed error ({unit})")
    axes.set_ylabel(f"actual error, rms residual ({unit})")
    refused = len(rows) - len(kept)
    gross = f", {refused:,} gross" if refused else ""
    axes.set_title(f"{stream}\n{len(kept):,} observations{gross}")
    return inflated


def _handles(inflated: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], color=GREY, marker="o", ls="", label="error model"),
        Line2D([], [], color="black", lw=0.8, label="calibrated"),
    ]
    if inflated:
        label = "as assimilated (inflated)"
        hollow: dict[str, Any] = {
            "color": GREY,
            "marker": "s",
            "mfc": "white",
            "ms": 4,
            "ls": "",
        }
        handles.insert(1, Line2D([], [], **hollow, label=label))
    return handles


def binned(rows: pd.DataFrame, column: str, bins: int) -> tuple[Array, Array, Array]:
    """Rms claimed and actual error and the count of each bin of the claimed error."""
    claimed = rows[column].to_numpy(np.float64)
    # Repeated quantiles (an error model with a few values only) make fewer bins.
    edges = np.unique(np.quantile(claimed, np.linspace(0, 1, bins + 1)))
    bin_of = np.digitize(claimed, edges[1:-1], right=False)
    groups = pd.DataFrame({"p": claimed**2, "r": rows["residual"].to_numpy(np.float64) ** 2})
    means = groups.groupby(bin_of).mean()
    count = groups.groupby(bin_of).size().to_numpy(np.float64)
    return np.sqrt(means["p"].to_numpy()), np.sqrt(means["r"].to_numpy()), count
