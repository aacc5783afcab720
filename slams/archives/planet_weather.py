"""The truth of the synthetic planet: its temperature at any place, level and time.

Temperature is the climate of the place from which the air came:
T(p, x, t) = climate(p, x - displacement(p, x, t), t). The displacement is a sum of random waves
that drift with a latitude-dependent wind, forget themselves within days and tilt westward with
height. Because the climate bends with latitude, Gaussian displacements give skewed temperatures
with fronts, which a linear model of anomalies would not. There is no diurnal cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import lfilter

from slams.archives.planet_climate import YEAR, Array, Land, climate
from slams.errors import SlamsError

STEP_HOURS = 6  # the waves' amplitudes are drawn this often and interpolated between
MARGIN_DAYS = 2  # weather exists this long before `start` and after `end`
CLEAR_SKY_LAYER = 0.95  # infrared sees the air this far down the column, as p / surface pressure
CLOUD_TOP = 350.0  # hPa
DRY_LAYER, MOIST_LAYER = 500.0, 300.0  # hPa, what water vapour lets be seen of dry and moist air
SUBGRID_SD = 0.7  # K, weather that is no displacement
DISPLACEMENT_SD = 7.0  # degrees of latitude, in the storm tracks
BUMPS = np.arange(-90.0, 91.0, 10.0)  # centres of the meridional structures, degrees north


@dataclass(frozen=True)
class Family:
    """Waves that share a vertical structure.

    `surface` and `top` are weights at 1000 and 100 hPa (linear in log pressure, within -1..1),
    `tilt` the westward phase shift in radians for each unit of log pressure.
    """

    wavenumbers: tuple[int, ...]
    width: float  # degrees of latitude
    memory: float  # days
    surface: float
    top: float
    tilt: float

    def vertical(self, pressure: Array) -> NDArray[np.complex64]:
        """Weight and phase at `pressure` in hPa (any shape)."""
        height = np.log(np.float32(1000) / pressure)
        weight = np.clip(self.surface + (self.top - self.surface) * height / np.log(10.0), -1, 1)
        return (weight * np.exp(1j * self.tilt * height)).astype(np.complex64)


CYCLONES = Family((4, 5, 6, 7, 8, 9), width=9, memory=4, surface=0.75, top=0.35, tilt=0.9)
PLANETARY = Family((1, 2, 3, 4), width=14, memory=9, surface=0.3, top=0.9, tilt=0.5)
SHALLOW = Family((3, 5, 7, 9, 11), width=8, memory=3, surface=0.6, top=-0.6, tilt=0.3)
FAMILIES = (CYCLONES, PLANETARY, SHALLOW)


class Planet:
    """A planet whose weather is known everywhere from `start` to `end` (dates, UTC).

    Land depends on `seed` alone, the weather of a date on `seed` and `start`: a later `end`
    leaves it as it was. In every method `times` is (time,) of datetime64, and `latitude` and
    `longitude` (degrees) broadcast with one another to the shape `points`, so that
    ``latitude[:, None], longitude`` is a grid and two equally long vectors are stations.

    Raises SlamsError if `end` precedes `start`, `seed` is negative, or `times` leave the period.
    """

    def __init__(self, start: Any, end: Any, seed: int = 0) -> None:
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise SlamsError(f"seed is {seed!r}; give a whole number of at least 0.")
        self.start, self.end, self.seed = _date(start, "start"), _date(end, "end"), int(seed)
        if self.end < self.start:
            raise SlamsError(f"end {self.end} precedes start {self.start}; swap them.")
        self._origin = self.start - np.timedelta64(MARGIN_DAYS, "D")
        self._length = int((self.end - self._origin).astype(int)) + 1 + MARGIN_DAYS  # days
        steps = self._length * 24 // STEP_HOURS + 1
        self._amplitudes = [
            _amplitudes(family, steps, [self.seed, 1, i]) for i, family in enumerate(FAMILIES)
        ]
        self._land = Land(self.seed)

    def land(self, latitude: ArrayLike, longitude: ArrayLike) -> Array:
        """Land fraction (*points), 0 to 1."""
        return self._land.fraction(*_floats(latitude, longitude))

    def elevation(self, latitude: ArrayLike, longitude: ArrayLike) -> Array:
        """Height of the ground (*points), m."""
        return self._land.elevation(*_floats(latitude, longitude))

    def temperature(
        self, times: ArrayLike, levels: Sequence[float], latitude: ArrayLike, longitude: ArrayLike
    ) -> Array:
        """Air temperature (time, level, *points), K, at `levels` in hPa (any order)."""
        sky = _Sky(self, times, latitude, longitude)
        return np.stack([sky.temperature(sky.level(hectopascal)) for hectopascal in levels], axis=1)

    def surface_temperature(
        self, times: ArrayLike, latitude: ArrayLike, longitude: ArrayLike
    ) -> Array:
        """Air temperature at the ground (time, *points), K: that of the air at its pressure."""
        sky = _Sky(self, times, latitude, longitude)
        return sky.temperature(self._land.surface_pressure(sky.latitude, sky.longitude))

    def cloud(self, times: ArrayLike, latitude: ArrayLike, longitude: ArrayLike) -> Array:
        """Cloud fraction (time, *points), 0 to 1."""
        return _Sky(self, times, latitude, longitude).cloud()

    def brightness_temperature(
        self, times: ArrayLike, latitude: ArrayLike, longitude: ArrayLike
    ) -> Array:
        """Infrared window brightness temperature (time, *points), K.

        Radiances (as the fourth power) of clear sky, which shows the air near the ground, and
        of cloud tops at 350 hPa, mixed by the cloud fraction.
        """
        sky = _Sky(self, times, latitude, longitude)
        ground = self._land.surface_pressure(sky.latitude, sky.longitude)
        clear = np.square(np.square(sky.temperature(np.float32(CLEAR_SKY_LAYER) * ground)))
        cloudy = np.square(np.square(sky.temperature(sky.level(CLOUD_TOP))))
        return np.sqrt(np.sqrt(clear + sky.cloud() * (cloudy - clear)))

    def water_vapour_brightness_temperature(
        self, times: ArrayLike, latitude: ArrayLike, longitude: ArrayLike
    ) -> Array:
        """Brightness temperature in the water vapour band (time, *points), K.

        Radiances of the air at 500 hPa, seen where the air above is dry, and at 300 hPa, where it
        is moist, mixed by the cloud fraction, which goes with moisture.
        """
        sky = _Sky(self, times, latitude, longitude)
        dry = np.square(np.square(sky.temperature(sky.level(DRY_LAYER))))
        moist = np.square(np.square(sky.temperature(sky.level(MOIST_LAYER))))
        return np.sqrt(np.sqrt(dry + sky.cloud() * (moist - dry)))

    def days(self, times: ArrayLike) -> NDArray[np.float64]:
        """Days since the first amplitude (time,)."""
        stamps = np.atleast_1d(np.asarray(times, dtype="datetime64[m]"))
        days = (stamps - self._origin).astype(np.float64) / 1440
        if days.size and not 0 <= days.min() <= days.max() <= self._length:
            raise SlamsError(
                f"times {stamps.min()} to {stamps.max()} leave the planet's period, "
                f"{self.start} to {self.end}; make the planet with a longer one."
            )
        return days

    def waves(
        self, times: ArrayLike, latitude: Array, longitude: Array
    ) -> list[NDArray[np.complex64]]:
        """A complex field (time, *points) for each family; both parts have variance 1."""
        days = self.days(times)[:, None, None]
        steps = days * 24 / STEP_HOURS
        index = np.minimum(steps.ravel().astype(int), len(self._amplitudes[0]) - 2)
        part = steps - index[:, None, None]
        fields = []
        for family, drawn in zip(FAMILIES, self._amplitudes, strict=True):
            now = drawn[index] * (1 - part) + drawn[index + 1] * part
            now = (now * np.exp(-1j * _drift(family) * days)).astype(np.complex64)
            bumps = _bumps(family, latitude)
            field: Any = np.complex64(0)
            for k, number in enumerate(family.wavenumbers):
                zonal = np.exp(1j * np.deg2rad(number * longitude)).astype(np.complex64)
                field = field + np.tensordot(now[:, k], bumps, axes=1) * zonal
            fields.append(field)
        return fields


class _Sky:
    """The weather of some times at some points, computed once for several levels."""

    def __init__(
        self, planet: Planet, times: ArrayLike, latitude: ArrayLike, longitude: ArrayLike
    ) -> None:
        self.latitude, self.longitude = _floats(latitude, longitude)
        self._land = planet._land
        self._waves = planet.waves(times, self.latitude, self.longitude)
        new_year = np.datetime64("1970-01-01", "D")
        day = planet.days(times) + (planet._origin - new_year).astype(np.float64)
        self._day = day.reshape((-1,) + (1,) * self.latitude.ndim)
        ring = np.cos(np.deg2rad(self.latitude))
        # Nothing moves at a pole, where a field can have one value only.
        self._free = 1 - np.exp(-np.square(ring * np.float32(5)))
        self._reach = np.float32(DISPLACEMENT_SD) * self._free * _storm_track(self.latitude)
        self._ring = np.maximum(ring, np.float32(0.3))

    def level(self, hectopascal: float) -> Array:
        """One pressure for all points."""
        return np.full((1,) * self.latitude.ndim, hectopascal, "f4")

    def temperature(self, pressure: Array) -> Array:
        """(time, *points), K, at `pressure` in hPa, which broadcasts with points."""
        moved = self._displacement(FAMILIES, pressure)
        origin = self.latitude - self._reach * moved.real
        land = self._land.fraction(origin, self.longitude - self._reach / self._ring * moved.imag)
        turn = np.exp(4j * np.log(pressure)).astype(np.complex64)  # layers differ
        subgrid = np.float32(SUBGRID_SD) * self._free * (turn * self._waves[2]).imag
        return climate(pressure, origin, land, self._day) + subgrid

    def cloud(self) -> Array:
        """Air that was carried poleward, and is still going there, has risen and clouds over.

        The waves move east, so that the imaginary part is the poleward wind where the real part
        is the poleward displacement. A rain belt follows the sun.
        """
        moved = self._displacement((CYCLONES, PLANETARY), self.level(600))
        poleward = np.tanh(self.latitude / np.float32(20)) * (moved.real + moved.imag)
        centre = (5 * np.cos(2 * np.pi * (self._day / YEAR - 0.58))).astype("f4")
        belt = np.exp(-np.square((self.latitude - centre) / np.float32(8)))
        rain = belt * (np.float32(0.9) + np.float32(0.7) * self._waves[2].real)
        return 0.5 + 0.5 * np.tanh(np.float32(1.2) * poleward + rain - np.float32(0.8))

    def _displacement(self, families: Sequence[Family], pressure: Array) -> NDArray[np.complex64]:
        """Poleward-equatorward (real) and zonal (imaginary), in units of the reach."""
        shares = (family.vertical(pressure) for family in families)
        total: Any = sum(share * w for share, w in zip(shares, self._waves, strict=False))
        return total


def _date(value: Any, name: str) -> np.datetime64:
    try:
        return np.datetime64(str(value)[:10], "D")
    except ValueError as error:
        raise SlamsError(f"{name} is {value!r}, no date; write it as YYYY-MM-DD.") from error


def _floats(latitude: ArrayLike, longitude: ArrayLike) -> tuple[Array, Array]:
    """Both as float32 with the same number of dimensions, not yet broadcast."""
    north, east = np.asarray(latitude, "f4"), np.asarray(longitude, "f4")
    dimensions = max(north.ndim, east.ndim)
    north = north.reshape((1,) * (dimensions - north.ndim) + north.shape)
    return north, east.reshape((1,) * (dimensions - east.ndim) + east.shape)


def _storm_track(latitude: Array) -> Array:
    """Displacements relative to those of the storm tracks, at 48 degrees north and south."""
    away = np.abs(latitude) - np.float32(48)
    return 0.3 + np.float32(0.7) * np.exp(
        -np.square(away / np.where(away < 0, 20, 26).astype("f4"))
    )


def _drift(family: Family) -> NDArray[np.float64]:
    """Phase speed (wavenumber, bump), radians a day, eastward positive; slow for long waves."""
    number = np.array(family.wavenumbers, float)[:, None]
    wind = -4 + 15 * np.exp(-np.square((np.abs(BUMPS) - 47) / 22))  # m/s
    radius = 6.371e6 * np.maximum(np.cos(np.deg2rad(BUMPS)), 0.25)  # m
    return number * np.tanh(number / 5) * wind * 86400 / radius


def _bumps(family: Family, latitude: Array) -> Array:
    """Meridional structures (bump, *latitude.shape), scaled so that their squares sum to 1."""
    centre = BUMPS.reshape((-1,) + (1,) * latitude.ndim)
    bumps = np.exp(-0.5 * np.square((latitude - centre) / family.width))
    return (bumps / np.sqrt(np.square(bumps).sum(0))).astype("f4")


def _amplitudes(family: Family, steps: int, seed: list[int]) -> NDArray[np.complex64]:
    """Autoregressive wave amplitudes (steps, wavenumber, bump), stationary from the first.

    Drawn step by step, so that more steps leave the first ones unchanged.
    """
    shape = (steps, len(family.wavenumbers), len(BUMPS), 2)
    draws = np.random.default_rng(seed).standard_normal(shape).view(np.complex128)[..., 0]
    keep = np.exp(-STEP_HOURS / 24 / family.memory)
    draws[1:] *= np.sqrt(1 - keep**2)
    # Fewer waves fit round a circle of latitude near a pole.
    ring = np.maximum(np.cos(np.deg2rad(BUMPS)), 0.1)
    spectrum = np.exp(-np.square(np.array(family.wavenumbers)[:, None] / (12 * ring)))
    draws *= np.sqrt(spectrum / spectrum.sum(0))
    return lfilter([1.0], [1.0, -keep], draws, axis=0).astype(np.complex64)
