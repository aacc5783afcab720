"""Loss curves of the trained networks."""

from collections.abc import Mapping
from typing import Final

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from slams.errors import SlamsError
from slams.figures.style import COLOURS, legend_below, look, new_figure

LOGARITHMIC_RANGE: Final = 5.0  # a loss curve that spans more than this has a logarithmic axis


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
            seconds = curve["seconds"].max()
            took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
            axes.set_title(f"{name} ({took})")
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
