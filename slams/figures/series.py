"""A time series at one place with the ensemble's fan."""

from collections.abc import Sequence
from typing import Any, Final

import matplotlib.dates as mdates
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator

from slams.errors import SlamsError
from slams.figures.place import Line
from slams.figures.style import BASELINES, WIDTH_INCHES, Style, legend_below, look, new_figure

MOST_STEPS: Final = 24  # in a figure, of all cases together
MOST_CASES: Final = 6
FAN: Final = ((0.05, 0.95, 0.22), (0.25, 0.75, 0.4))  # quantiles, and how opaque
BAR_INCHES: Final = 0.05


def shown_cases(cases: int, steps: int) -> list[int]:
    """Which cases a series shows: evenly spread, no more than the figure has room for."""
    most = int(np.clip(MOST_STEPS // steps, 1, MOST_CASES))
    return np.unique(np.linspace(0, cases - 1, min(cases, most)).round().astype(int)).tolist()


def series(lines: Sequence[Line], style: Style, title: str = "") -> Figure:
    """The fan of the members over time: one row a line of one place, one column a case.

    Bands hold the middle 50 and 90 % of the members (quantiles, interpolated where members are
    few), the coloured line their median. `lines` are of the same cases (`slams.figures.place`);
    `style` is the arm's.
    """
    if not lines:
        raise SlamsError("there is no time series to draw: give the line of one place")
    columns = len(lines[0].times)
    with look():
        figure = new_figure(
            max(4.5, WIDTH_INCHES * min(1.0, 0.25 * columns)), 1.0 + 2.2 * len(lines)
        )
        grid = figure.subplots(len(lines), columns, sharey="row", sharex="col", squeeze=False)
        for row, line in zip(grid, lines, strict=True):
            for case, axes in enumerate(row):
                _panel(axes, line, case, style)
            row[0].set_ylabel("temperature (K)")
            row[0].set_title(line.title)
        for axes in grid[-1]:
            axes.set_xlabel("UTC")
        figure.suptitle(title, fontsize=10, x=0.01, ha="left")
        legend_below(figure, _handles(lines, style))
    return figure


def _panel(axes: Any, line: Line, case: int, style: Style) -> None:
    times = mdates.date2num(line.times[case])
    members = line.members[case]
    for low, high, alpha in FAN:
        bounds = np.quantile(members, [low, high], axis=0)
        axes.fill_between(times, *bounds, color=style.color, alpha=alpha, linewidth=0)
        # Bars, so that a window of one step, or a step alone, is seen, too.
        axes.vlines(times, *bounds, color=style.color, alpha=alpha, linewidth=4 if low > 0.1 else 2)
    axes.plot(times, np.median(members, axis=0), color=style.color, marker=style.marker, ms=3.5)
    if line.oi is not None:
        axes.plot(times, line.oi[case], **_oi())
    if line.error is None:
        axes.plot(times, line.truth[case], **_truth())
    else:
        axes.errorbar(times, line.truth[case], line.error, **_truth(), capsize=2, elinewidth=0.9)
    _dates(axes, times)


def _dates(axes: Any, times: np.ndarray) -> None:
    step = float(np.diff(times).min()) if len(times) > 1 else 1.0
    axes.set_xlim(times[0] - 0.4 * step, times[-1] + 0.4 * step)
    shown = times[:: max(1, -(-len(times) // 4))].tolist()
    axes.xaxis.set_major_locator(FixedLocator(shown))
    whole = bool(np.allclose(times % 1, times[0] % 1))
    axes.xaxis.set_major_formatter(mdates.DateFormatter("%-d %b\n%Y" if whole else "%-d %b\n%H h"))


def _truth() -> dict[str, Any]:
    return {"color": "black", "marker": "o", "ms": 3.5, "mfc": "white", "ls": "-", "lw": 0.8}


def _oi() -> dict[str, Any]:
    style = BASELINES["oi"]
    return {"color": style.color, "marker": "x", "ms": 4, "linestyle": (0, (4, 2)), "lw": 1.0}


def _handles(lines: Sequence[Line], style: Style) -> list[Any]:
    known = " / ".join(dict.fromkeys(line.known_as for line in lines))
    handles: list[Any] = [
        Line2D([], [], color=style.color, marker=style.marker, ms=3.5, label="median of members"),
        Patch(color=style.color, alpha=0.6, label="25 to 75 %"),
        Patch(color=style.color, alpha=0.22, label="5 to 95 %"),
        Line2D([], [], **_truth(), label=known),
    ]
    if any(line.oi is not None for line in lines):
        handles.append(Line2D([], [], **_oi(), label="OI of the same observations"))
    return handles
