"""Small worlds with known answers: statistics, weather, stores, and a prior that is exact."""

import copy
from itertools import product
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn import functional as F

from slams.gaussian import GaussianBase
from slams.grid import Grid, bilinear
from slams.prior import Prior
from slams.statistics import Normalisation
from slams.store import Store, StoreWriter

GRID = Grid(22.5)
LEVELS = np.array([500.0, 700.0, 850.0])
SHAPE = (len(LEVELS), *GRID.shape)
SCALE = np.array([4.0, 3.0, 2.0])


def days(first: str, count: int) -> np.ndarray:
    """Midnights (count,) from a date on."""
    return np.datetime64(first, "ns") + np.arange(count) * np.timedelta64(1, "D")


def cartesian(grid: Grid = GRID) -> np.ndarray:
    """The three Cartesian coordinates (3, latitude, longitude) of the cells' centres."""
    phi, lam = np.meshgrid(np.radians(grid.latitude), np.radians(grid.longitude), indexing="ij")
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])


def statistics(reference: str = "climatology") -> xr.Dataset:
    """Statistics whose climatology has an annual cycle that differs from level to level."""
    sine = np.sin(np.radians(GRID.latitude))[:, None] * np.ones(GRID.shape)
    wave = cartesian()[0]
    cycle = np.stack(
        [
            [250 + 10 * n + 30 * (1 - sine**2) + (3 + n**2) * wave for n in range(len(LEVELS))],
            [(8 - 3 * n) * sine for n in range(len(LEVELS))],
            [(1 + n) * wave for n in range(len(LEVELS))],
        ]
    )
    mean = np.zeros_like(cycle)
    mean[0] = (cycle[0] * GRID.area_weights[:, None]).mean((1, 2))[:, None, None]
    cells = ("level", "latitude", "longitude")
    return xr.Dataset(
        {
            "reference": (("term", *cells), cycle if reference == "climatology" else mean),
            "scale": ("level", SCALE),
            "climatology": (("term", *cells), cycle),
            "climatology_spread": (cells, SCALE[:, None, None] * np.ones(SHAPE)),
            "global_mean": ("level", mean[0, :, 0, 0]),
            "global_standard_deviation": ("level", 2 * SCALE),
        },
        coords={"level": LEVELS, "latitude": GRID.latitude, "longitude": GRID.longitude},
    )


def weather(count: int, seed: int = 0, memory: float = 0.7, grid: Grid = GRID) -> np.ndarray:
    """Anomalies (count, level, latitude, longitude) of variance one, smooth on the sphere.

    Polynomials of the Cartesian coordinates up to the fourth order, whose coefficients follow a
    first-order autoregression in time; half of the variance is common to the levels.
    """
    rng = np.random.default_rng(seed)
    coordinates = cartesian(grid)
    powers = [p for p in product(range(5), repeat=3) if 0 < sum(p) <= 4]
    waves = np.stack([np.prod(coordinates ** np.array(p)[:, None, None], axis=0) for p in powers])
    waves -= waves.mean((1, 2), keepdims=True)
    waves /= waves.std((1, 2), keepdims=True)
    drawn = rng.standard_normal((count, len(LEVELS) + 1, len(powers)))
    for step in range(1, count):
        drawn[step] = memory * drawn[step - 1] + np.sqrt(1 - memory**2) * drawn[step]
    coefficients = np.sqrt(0.5) * (drawn[:, 1:] + drawn[:, :1])
    fields = np.tensordot(coefficients, waves, axes=1)
    return (fields / np.sqrt((waves**2).sum(0).mean())).astype(np.float32)


def store(folder: Path, split: str, times: np.ndarray, fields: np.ndarray) -> Store:
    """A store of normalised ``fields`` (time, level, latitude, longitude)."""
    path = folder / f"{split}.nc"
    writer = StoreWriter(path, fields.shape[1:], len(fields))
    writer.add(fields)
    number = np.zeros(len(times), dtype=int)
    writer.close(xr.Dataset(coords={"time": ("field", times), "number": ("field", number)}))
    return Store(path)


def with_fields(other: Store, fields: np.ndarray) -> Store:
    """A store like another, with ``fields`` of its own."""
    result = copy.copy(other)
    result.fields = fields.astype(np.float32)
    return result


class IdealPrior(Prior):
    """Independent standard normal states, whose denoiser is x / (1 + sigma^2), exactly.

    In latent space a state holds one number for two by two cells: decoding repeats it.
    """

    def __init__(self, window: int, space: str = "pixel", reference: str = "climatology") -> None:
        self.steps, self.space, self.step_hours = window, space, 24.0
        self.statistics = statistics(reference)
        self.normalisation = Normalisation(self.statistics)
        self.device = torch.device("cpu")
        self.factor = 2 if space == "latent" else 1

    @property
    def state_shape(self) -> tuple[int, ...]:
        levels, rows, columns = SHAPE
        return (self.steps, levels, rows // self.factor, columns // self.factor)

    @property
    def window(self) -> int:
        return self.steps

    @property
    def base(self) -> GaussianBase:
        window, channels, rows, columns = self.state_shape
        return GaussianBase(window, channels, rows, columns, channels * rows)

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        return x / (1 + sigma**2)

    def encode(self, fields: Tensor) -> Tensor:
        return F.avg_pool2d(fields.flatten(0, 1), self.factor).unflatten(0, fields.shape[:2])

    def decode(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2)


def thermometers(
    latitude: np.ndarray, longitude: np.ndarray, variance: float = 1.0, held_out: int = 0
) -> xr.Dataset:
    """A station fit whose stations read the lowest level; the first ``held_out`` are held out."""
    indices, weights = bilinear(GRID, latitude, longitude)
    count = len(latitude)
    return xr.Dataset(
        {
            # constant, climate, anomaly, elevation, latitude
            "coefficient": ("predictor", np.array([0.0, 1.0, 1.0, 0.0, 0.0])),
            "bias": ("station", np.zeros(count)),
            "error_variance": ("station", np.full(count, variance)),
            "held_out": ("station", np.arange(count) < held_out),
            "latitude": ("station", np.asarray(latitude, float)),
            "longitude": ("station", np.asarray(longitude, float)),
            "indices": (("station", "corner"), indices),
            "weights": (("station", "corner"), weights),
            "fixed": (("station", "place"), np.zeros((count, 2))),
        },
        coords={"station": [f"S{number:04d}" for number in range(count)]},
        attrs={"levels_hPa": LEVELS[-1:]},
    )
