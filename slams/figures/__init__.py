"""Figures for papers: one function a figure, each returning a matplotlib Figure.

Nothing is downloaded to draw: coastlines are the half contour of the data's own land-sea mask.
Every arm keeps its colour, marker and line style in all figures of an experiment.
"""

from slams.figures.curves import ablation_curves, losses, operator_fit, profiles
from slams.figures.maps import levels, maps, stations
from slams.figures.style import arm_styles, save

__all__ = [
    "ablation_curves",
    "arm_styles",
    "levels",
    "losses",
    "maps",
    "operator_fit",
    "profiles",
    "save",
    "stations",
]
