"""What all figures share: fonts, one look an arm, words and units, saving."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from slams.errors import SlamsError
from slams.provenance import atomic

WIDTH_INCHES: Final = 9.0
DOTS_PER_INCH: Final = 160
# Okabe and Ito's colours without yellow and black, and four of Tol's: distinct to colour-blind
# readers. Beyond ten arms the colours repeat, with another marker and line.
COLOURS: Final = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#882255", "#999933"),
    *("#332288", "#117733"),
)
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
LINES: Final = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
# The paper's arms have one marker and one line of their own, whatever their place.
PAPER_MARKER: Final = "*"
PAPER_LINE: Final = (0, (6, 2))

AXIS_LABELS: Final = {
    "coarse": "block size (cells)",
    "noise": "noise, standard deviation (normalised units)",
    "sparse": "every n-th row and column (cells)",
    "persistence": "age of the background (steps)",
}
SCORE_LABELS: Final = {
    "crps": "CRPS (K)",
    "rmse": "RMSE (K)",
    "bias": "bias (K)",
    "spread": "spread (K)",
    "spread_skill": "spread / RMSE (ratio)",
    "wasserstein": "Wasserstein distance (normalised units)",
}
LOOK: Final[Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "pdf.fonttype": 42,
    "figure.facecolor": "white",
}


@dataclass(frozen=True)
class Style:
    """How one arm, or one baseline, is drawn."""

    color: str
    marker: str
    line: Any

    def keywords(self) -> dict[str, Any]:
        """Keywords for Axes.plot and Axes.errorbar."""
        return {"color": self.color, "marker": self.marker, "linestyle": self.line}


# Baselines are grey or black, so that colour always means an arm; the better, the darker.
BASELINES: Final = {
    "climatology": Style("#a6a6a6", "", (0, (1, 1.5))),
    "persistence": Style("#8c8c8c", "+", (0, (3, 1, 1, 1))),
    "interpolation": Style("#6f6f6f", "x", (0, (4, 2))),
    "oi": Style("#000000", ".", "-"),
    "letkf": Style("#3d3d3d", "1", (0, (7, 2))),
}
# The models of the paper's own table, which are not ours: thin, hollow stars, brown.
PAPER_MODELS: Final = tuple(
    Style(colour, PAPER_MARKER, (0, (2, 1)))
    for colour in ("#5c4033", "#8b6f4e", "#b08d57", "#d2b48c")
)
METHOD_LABELS: Final = {"oi": "OI", "letkf": "LETKF"}


def method_label(method: str) -> str:
    """A method's name as it stands in legends and tables."""
    return METHOD_LABELS.get(method, method)


def level_label(level: str) -> str:
    """A level of the table of scores, "850" or "2 m", as it stands in titles and on axes."""
    return f"{level} hPa" if level.replace(".", "", 1).isdigit() else level


def arm_styles(arms: Sequence[str]) -> dict[str, Style]:
    """One look an arm, by its place in `arms`: give the experiment's full list to keep it.

    Arms that reproduce the paper, by the word "paper" in their names, look alike but for colour.
    """
    return {arm: _style(arm, place) for place, arm in enumerate(dict.fromkeys(arms))}


def _style(arm: str, place: int) -> Style:
    colour = COLOURS[place % len(COLOURS)]
    if "paper" in arm.split("-"):
        return Style(colour, PAPER_MARKER, PAPER_LINE)
    line = LINES[(place + place // len(COLOURS)) % len(LINES)]
    return Style(colour, MARKERS[place % len(MARKERS)], line)


def styles_for(scores: pd.DataFrame, arms: Sequence[str] | None) -> dict[str, Style]:
    """The looks of the arms of a table, in the order of `arms`, or of the table."""
    present = list(dict.fromkeys(scores["arm"]))
    absent = [arm for arm in present if arms is not None and arm not in arms]
    if absent:
        raise SlamsError(
            f"the scores hold the arm {', '.join(absent)}, which is not in the list of arms "
            f"({', '.join(arms or ())}): merge the scores of this experiment only"
        )
    looks = arm_styles(arms or present)
    return {arm: look for arm, look in looks.items() if arm in present}


@contextmanager
def look(changes: Mapping[str, Any] = MappingProxyType({})) -> Iterator[None]:
    """The common fonts and lines while a figure is made, with `changes` to matplotlib's keys."""
    with mpl.rc_context(LOOK | dict(changes)):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, inches, that arranges its own margins; no window, no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend_below(figure: Figure, handles: Sequence[Any]) -> None:
    """One legend for all panels, outside of them, so that it covers no data."""
    # A column of the legend is as wide as its longest label: about 0.07 inches a letter.
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    columns = max(1, int(figure.get_figwidth() / (0.7 + 0.07 * longest)))
    figure.legend(
        handles=list(handles), loc="outside lower center", ncols=min(columns, 4, len(handles) or 1)
    )


def level_axis(axes: Any, levels: Sequence[float]) -> None:
    """Pressure downwards on a logarithmic axis, one tick a level as far as there is room."""
    shown = sorted(set(levels))
    axes.set_yscale("log")
    axes.set_ylim(max(shown) * 1.12, min(shown) / 1.12)
    axes.set_yticks(spaced(shown), [f"{level:g}" for level in spaced(shown)])
    axes.set_yticks([], minor=True)


def spaced(levels: Sequence[float], least: float = 0.055) -> list[float]:
    """Those of the sorted levels whose labels do not run into the one below, in log pressure."""
    ordered = np.log(np.asarray(levels, np.float64))
    extent = max(ordered[-1] - ordered[0], 1e-9)
    kept = [len(ordered) - 1]
    for i in range(len(ordered) - 2, -1, -1):
        if (ordered[kept[-1]] - ordered[i]) / extent >= least:
            kept.append(i)
    return [levels[i] for i in reversed(kept)]


def save(figure: Figure, stem: str | Path) -> list[Path]:
    """Write `stem`.pdf and `stem`.png, each whole or not at all; the paths written.

    The files hold no date, so that the same data give the same bytes.
    """
    written = []
    for suffix, metadata in ((".pdf", {"CreationDate": None}), (".png", {"Software": None})):
        path = Path(stem).parent / (Path(stem).name + suffix)
        with look(), atomic(path) as temporary:
            figure.savefig(temporary, dpi=DOTS_PER_INCH, metadata=metadata)
        written.append(path)
    return written
