"""Figures for papers: one function a figure, each returning a matplotlib Figure.

Nothing is downloaded to draw: coastlines are the half contour of the data's own land-sea mask.
Every arm keeps its colour, marker and line style in all figures of an experiment.
"""

from slams.figures.animation import Window
from slams.figures.climate import levels
from slams.figures.comparisons import comparisons
from slams.figures.curves import ablation_curves, ablation_levels
from slams.figures.losses import losses
from slams.figures.maps import increments, maps
from slams.figures.operators import operator_fit
from slams.figures.place import Stations, lines
from slams.figures.profiles import profiles
from slams.figures.ranks import rank_histograms
from slams.figures.series import series, shown_cases
from slams.figures.spectra import spectra
from slams.figures.stations import stations
from slams.figures.style import arm_styles, save

__all__ = [
    "Stations",
    "Window",
    "ablation_curves",
    "ablation_levels",
    "arm_styles",
    "comparisons",
    "increments",
    "levels",
    "lines",
    "losses",
    "maps",
    "operator_fit",
    "profiles",
    "rank_histograms",
    "save",
    "series",
    "shown_cases",
    "spectra",
    "stations",
]
