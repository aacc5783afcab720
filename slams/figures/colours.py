"""Colour maps: one for temperatures, one for sizes, one for departures.

The sequential ones are matplotlib's, made to be perceptually uniform. The diverging one is made
here in CIE L*a*b*, because matplotlib's with a light middle are not uniform: from white at zero
lightness falls and chroma rises linearly, blue below and red above, alike on both sides.
"""

from typing import Final

import numpy as np
from matplotlib.colors import Colormap, ListedColormap
from numpy.typing import NDArray

TEMPERATURE: Final = "viridis"
SPREAD: Final = "magma_r"

Array = NDArray[np.float64]
LIGHTEST, DARKEST = 98.0, 36.0  # L* in the middle and at both ends
CHROMA = 46.0  # at both ends
BLUE, RED = np.deg2rad(280.0), np.deg2rad(32.0)  # hue angles in the a*, b* plane
SHADES = 128  # a side
# CIE L*a*b* to XYZ (D65, 2 degrees) to linear sRGB: IEC 61966-2-1.
WHITE: Final = np.array([0.95047, 1.0, 1.08883])
TO_RGB: Final = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)


def lab_to_rgb(lab: Array) -> Array:
    """CIE L*a*b* (n, 3) to sRGB (n, 3), 0 to 1 where the colour can be shown."""
    lightness, a, b = lab.T
    y = (lightness + 16) / 116
    f = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    xyz = WHITE * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    linear = xyz @ TO_RGB.T
    root = np.clip(linear, 0, None) ** (1 / 2.4)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * root - 0.055)


def diverging_lab() -> Array:
    """The diverging map's colours in L*a*b* (2 SHADES - 1, 3), from far below zero to far above."""
    share = np.linspace(0, 1, SHADES)[:, None]

    def side(hue: float) -> Array:
        end = np.array([DARKEST, CHROMA * np.cos(hue), CHROMA * np.sin(hue)])
        return (1 - share) * np.array([LIGHTEST, 0.0, 0.0]) + share * end

    return np.concatenate([side(BLUE)[:0:-1], side(RED)])


DEPARTURE: Final[Colormap] = ListedColormap(
    np.clip(lab_to_rgb(diverging_lab()), 0, 1), name="departure"
)
