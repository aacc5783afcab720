"""The lasting part of the synthetic planet: its land and its climate.

Both are analytic, so that they can be evaluated at any place without interpolation. Angles are
in degrees, arrays float32; arguments broadcast with one another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]  # float32 in practice

YEAR = 365.2425  # days
LAND_FRACTION = 0.3
CONTINENTS = 14  # bumps, of which some merge
RANGES = 6  # mountain ranges
SEA_LEVEL_PRESSURE = 1013.25  # hPa
SCALE_HEIGHT = 8000.0  # m


class Land:
    """Continents and mountains drawn from a seed; about 30 % of the sphere is land."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 2])
        # A jittered regular lattice: land in both hemispheres whatever the seed.
        height = 0.92 * (1 - (2 * np.arange(CONTINENTS) + 1) / CONTINENTS)
        angle = np.pi * (3 - np.sqrt(5)) * np.arange(CONTINENTS) + rng.uniform(0, 2 * np.pi)
        ring = np.sqrt(1 - height**2)
        lattice = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], -1)
        self._centres = _normalised(lattice + rng.normal(0, 0.25, lattice.shape))
        self._sharpness = rng.uniform(6, 35, CONTINENTS).astype("f4")
        self._weights = rng.uniform(0.4, 1.2, CONTINENTS).astype("f4")
        everywhere = _normalised(rng.normal(size=(20000, 3)))
        self._shore = np.float32(np.quantile(self._raised(everywhere), 1 - LAND_FRACTION))
        self._peaks = self._centres[np.argsort(-self._weights)[:RANGES]]
        # A range runs along the great circle through its peak that this normal defines.
        self._walls = _normalised(np.cross(self._peaks, rng.normal(size=self._peaks.shape)))

    def _raised(self, unit: Array) -> Array:
        near = unit @ self._centres.T
        near -= 1
        near *= self._sharpness
        np.exp(near, out=near)
        return near @ self._weights

    def fraction(self, latitude: Array, longitude: Array) -> Array:
        """Land fraction, 0 to 1, with a coast a few degrees wide."""
        raised = self._raised(_unit(latitude, longitude))
        return 0.5 + 0.5 * np.tanh((raised - self._shore) / np.float32(0.06))

    def elevation(self, latitude: Array, longitude: Array) -> Array:
        """Height of the ground in m: 0 at sea, ranges of up to about 2800 m on land."""
        unit = _unit(latitude, longitude)
        along = np.exp(25 * (unit @ self._peaks.T - 1))
        across = np.exp(-np.square(unit @ self._walls.T / np.float32(0.06)))
        ground = 200 + 2600 * np.max(along * across, axis=-1)
        return np.square(self.fraction(latitude, longitude)) * ground

    def surface_pressure(self, latitude: Array, longitude: Array) -> Array:
        """Pressure at the ground in hPa, constant in time."""
        fall = np.exp(-self.elevation(latitude, longitude) / np.float32(SCALE_HEIGHT))
        return np.float32(SEA_LEVEL_PRESSURE) * fall


def climate(pressure: Array, latitude: Array, land: Array, day: NDArray[np.float64]) -> Array:
    """Climatological temperature, K, of the broadcast of all arguments.

    `pressure` hPa, `latitude` degrees north (beyond a pole: that far down the other side),
    `land` 0 to 1, `day` days since any 1 January.

    A troposphere that cools with height from a surface with a polar front, and a stratosphere
    that does not, meet at the tropopause, where the warmer of the two prevails smoothly.
    """
    sine = np.sin(np.deg2rad(latitude))
    square = np.square(sine)
    over_sea, over_land, aloft = (  # days by which the warmest day lags the solstice
        np.cos(2 * np.pi * (day - 172 - lag) / YEAR).astype("f4") for lag in (50, 28, 20)
    )
    depth = pressure / np.float32(1000)
    front = np.tanh((np.abs(latitude) - 47 - 6 * sine * over_sea) * np.float32(1 / 11))
    surface = 300 - 22 * square - 7 * (1 + front)
    swing = 6 * over_sea + land * (20 * over_land - 6 * over_sea)
    ground = sine * swing + land * (2 - 6 * square)
    below = surface * depth ** np.float32(0.175) + ground * depth ** np.float32(0.9)
    ozone = np.float32(3.75) * np.logaddexp(np.float32(0), -4 * np.log(depth * np.float32(12.5)))
    vortex = square * sine * (17 - np.log(depth * 10)) * aloft
    above = 197 + 19 * square + vortex + ozone
    return 0.5 * (below + above + np.sqrt(np.square(below - above) + np.float32(36)))


def _normalised(vectors: NDArray) -> Array:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype("f4")


def _unit(latitude: Array, longitude: Array) -> Array:
    """Unit vectors (*points, 3)."""
    phi, lam = np.broadcast_arrays(np.deg2rad(latitude), np.deg2rad(longitude))
    vector = np.empty((*phi.shape, 3), "f4")
    ring = np.cos(phi)
    vector[..., 0] = ring * np.cos(lam)
    vector[..., 1] = ring * np.sin(lam)
    vector[..., 2] = np.sin(phi)
    return vector
