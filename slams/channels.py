"""The channels of the imagery stream: what each is called, its unit, and what it may be.

A channel is a field of one quantity that a satellite, or for precipitation a gauge, sees.
`archives.imagery.channels` names those that an experiment takes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Transform = Callable[[NDArray[Any]], NDArray[Any]]


def unchanged(values: NDArray[Any]) -> NDArray[Any]:
    """The values themselves: what is about Gaussian needs no transformation."""
    return values


@dataclass(frozen=True)
class Channel:
    """One quantity.

    ``name`` is that of the configuration, ``field`` the variable of `fields/imagery-{year}.nc`;
    ``units`` and ``standard_name`` are CF's; ``limits`` are the least and the greatest value there
    can be. ``transform`` makes the quantity about Gaussian before it is normalised; ``centre`` is
    a typical value after it.
    """

    name: str
    field: str
    units: str
    standard_name: str
    limits: tuple[float, float]
    transform: Transform = unchanged
    centre: float = 250.0

    @property
    def attributes(self) -> dict[str, str]:
        """CF attributes of the field."""
        return {"units": self.units, "standard_name": self.standard_name}


WINDOW = Channel(
    "irwin_cdr",
    "brightness_temperature",
    "K",
    "toa_brightness_temperature",
    (140.0, 375.0),  # of the GridSat-B1 header
)
WATER_VAPOUR = Channel(
    "irwvp",
    "water_vapour_brightness_temperature",
    "K",
    "toa_brightness_temperature",
    (140.0, 375.0),
)
OLR = Channel(
    "olr",
    "outgoing_longwave_radiation",
    "W m-2",
    "toa_outgoing_longwave_flux",
    (30.0, 500.0),  # a black body of 152 K, and of 306 K
)
# Precipitation is many zeros and a long tail. log(1 + mm) draws the tail in and has slope one at
# zero, so that it does not magnify the difference between none and a trace.
PRECIPITATION = Channel(
    "precipitation",
    "precipitation",
    "mm",
    "lwe_thickness_of_precipitation_amount",
    (0.0, 2000.0),  # of a day; the record at a gauge is 1825 mm
    transform=np.log1p,
    centre=0.0,
)
CHANNELS = {channel.name: channel for channel in (WINDOW, WATER_VAPOUR, OLR, PRECIPITATION)}
GRIDSAT = (WINDOW.name, WATER_VAPOUR.name)
