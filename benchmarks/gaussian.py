"""Linear-Gaussian worlds: exact denoisers, observations of many kinds, exact posteriors.

A world's states are drawn from N(0, C), where C is the Kronecker product of a covariance in time,
one of levels and one of cells. Its denoiser is C (C + sigma^2)^-1 x, and its posterior given
linear observations is known in closed form, so that a sampler can be held to it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from slams.gaussian import GaussianBase
from slams.grid import Grid
from slams.observation import Observation, Observations

PRESSURES = np.array([10.0, 50, 100, 200, 300, 500, 700, 850])  # hPa


class GaussianWorld:
    """States (step, level, latitude, longitude) of N(0, C), C = time x levels x cells."""

    def __init__(
        self,
        time: np.ndarray,
        levels: np.ndarray,
        cells: np.ndarray,
        shape: tuple[int, int],
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.factors = [torch.from_numpy(factor) for factor in (time, levels, cells)]
        self.state_shape = (len(time), len(levels), *shape)
        self.size = len(time) * len(levels) * len(cells)
        pairs = [torch.linalg.eigh(factor) for factor in self.factors]
        values = [pair[0].clamp_min(0) for pair in pairs]
        self.eigenvalues = torch.einsum("t,l,c->tlc", *values)
        self.vectors = [pair[1] for pair in pairs]
        self.dtype = dtype
        self._basis = [vectors.to(dtype) for vectors in self.vectors]
        self._values = self.eigenvalues.to(dtype)

    @cached_property
    def covariance(self) -> Tensor:
        """C (size, size)."""
        time, levels, cells = self.factors
        return torch.kron(torch.kron(time, levels), cells)

    @property
    def times(self) -> np.ndarray:
        """A day a step."""
        steps = np.arange(self.state_shape[0])
        return np.datetime64("2001-01-01", "ns") + steps * np.timedelta64(1, "D")

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        """The mean of the clean states (batch, *state_shape) given ``x``."""
        time, levels, cells = self._basis
        flat = x.to(self.dtype).view(len(x), *self.eigenvalues.shape)
        gain = self._values / (self._values + sigma.to(self.dtype) ** 2)
        # A factor of one step or level turns nothing.
        waves = flat @ cells
        if len(levels) > 1:
            waves = levels.T @ waves
        if len(time) > 1:
            waves = torch.einsum("st,bslc->btlc", time, waves)
        waves = waves * gain
        if len(time) > 1:
            waves = torch.einsum("st,btlc->bslc", time, waves)
        if len(levels) > 1:
            waves = levels @ waves
        return (waves @ cells.T).to(x.dtype).view_as(x)

    def decode(self, x: Tensor) -> Tensor:
        """The states are the fields."""
        return x

    def draw(self, count: int, seed: int) -> Tensor:
        """States (count, size) of the prior.

        By the symmetric root: which eigenvectors a library gives of equal eigenvalues, and with
        which signs, is another matter from machine to machine.
        """
        generator = torch.Generator().manual_seed(seed)
        normal = torch.randn((count, *self.eigenvalues.shape), generator=generator).double()
        waves = torch.einsum("bskd,st,kl,dc->btlc", normal, *self.vectors)
        waves = waves * self.eigenvalues.sqrt()
        return torch.einsum("btlc,st,kl,dc->bskd", waves, *self.vectors).flatten(1)


def _correlation(apart: np.ndarray, length: float, nugget: float) -> np.ndarray:
    """Gaussian correlation of distances ``apart`` (n, n), with a ``nugget`` of its own a point."""
    smooth = np.exp(-0.5 * (apart / length) ** 2)
    return (smooth + nugget * np.eye(len(apart))) / (1 + nugget)


def _around(points: int, length: float) -> np.ndarray:
    position = np.arange(points)
    apart = np.abs(position[:, None] - position[None])
    return _correlation(np.minimum(apart, points - apart), length, 1e-4)


def _persistence(steps: int, memory: float) -> np.ndarray:
    """Correlation of a first-order autoregression."""
    step = np.arange(steps)
    return memory ** np.abs(step[:, None] - step[None]).astype(float)


class Ring(GaussianWorld):
    """One field on a ring, the correlation length in points."""

    def __init__(self, points: int = 64, length: float = 6.0) -> None:
        super().__init__(np.eye(1), np.eye(1), _around(points, length), (1, points))


def sphere(rows: int = 8) -> GaussianWorld:
    """Eight levels on a coarse sphere.

    Horizontally a correlation of 3000 km, in chords, which keeps it positive on the sphere;
    vertically two fifths of the variance are one pattern that changes its sign at the tropopause.
    """
    grid = Grid(180 / rows)
    phi, lam = np.meshgrid(np.radians(grid.latitude), np.radians(grid.longitude), indexing="ij")
    place = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], -1)
    place = 6371.0 * place.reshape(-1, 3)
    chords = np.linalg.norm(place[:, None] - place[None], axis=-1)
    height = -np.log(PRESSURES)
    pattern = np.tanh((height + np.log(200)) / 0.5)
    vertical = 0.6 * _correlation(np.abs(height[:, None] - height[None]), 0.5, 1e-2)
    vertical += 0.4 * np.outer(pattern, pattern)
    scale = np.sqrt(np.diag(vertical))
    return GaussianWorld(
        np.eye(1),
        vertical / np.outer(scale, scale),
        _correlation(chords, 3000.0, 1e-3),
        grid.shape,
        dtype=torch.float32,
    )


class Founded(GaussianWorld):
    """A world of one row and level that hands out its covariance as a base."""

    def __init__(self, world: GaussianWorld) -> None:
        time, levels, cells = (factor.numpy() for factor in world.factors)
        super().__init__(time, levels, cells, world.state_shape[2:], world.dtype)
        steps, points = self.state_shape[0], self.state_shape[-1]
        values, vectors = torch.linalg.eigh(self.factors[0])
        # A covariance that is alike everywhere on a ring has the transform of its row as spectrum.
        spectrum = torch.fft.rfft(self.factors[2][0]).real.clamp_min(1e-8)
        self.base = GaussianBase(steps, 1, 1, points, 1)
        self.base.steps[:] = vectors.to(self.base.steps)
        self.base.variance[:] = (spectrum[:, None, None] * values).to(self.base.variance)

    def known(self, x: Tensor, sigma: Tensor) -> Tensor:
        """All that the world knows, of windows of its own length."""
        return self.base.scaled(x, sigma.expand(len(x)), root=False)


def trajectory(steps: int = 5, points: int = 32, memory: float = 0.8) -> GaussianWorld:
    """Steps of a first-order autoregression on a ring."""
    return GaussianWorld(_persistence(steps, memory), np.eye(1), _around(points, 4.0), (1, points))


def _every(world: GaussianWorld, n: int) -> Tensor:
    """Rows of the identity (m, size): every n-th row and column, every level and step."""
    rows = world.state_shape[2]
    chosen = torch.zeros(world.state_shape, dtype=torch.bool)
    chosen[:, :, (n // 2 if rows > 1 else 0) :: n, n // 2 :: n] = True
    return torch.eye(world.size, dtype=torch.float64)[chosen.flatten()]


def _blocks(world: GaussianWorld, n: int) -> Tensor:
    """Means over blocks of n cells a side (m, size)."""
    steps, levels, rows, columns = world.state_shape
    high = min(n, rows)
    cells = torch.kron(
        torch.kron(torch.eye(rows // high), torch.full((1, high), 1 / high)).double(),
        torch.kron(torch.eye(columns // n), torch.full((1, n), 1 / n)).double(),
    )
    return torch.kron(torch.eye(steps * levels).double(), cells)


def _scattered(world: GaussianWorld, share: float, seed: int = 1) -> Tensor:
    """A ``share`` of the cells, at random (m, size)."""
    generator = torch.Generator().manual_seed(seed)
    seen = torch.rand(world.size, generator=generator) < share
    return torch.eye(world.size, dtype=torch.float64)[seen]


def _mixed(world: GaussianWorld) -> tuple[Tensor, Tensor]:
    points, blocks = _scattered(world, 0.2, seed=2), _blocks(world, 4)
    # Standard deviations from 0.05 to 2, a decade and a half apart.
    errors = torch.logspace(np.log10(0.05), np.log10(2), len(points), dtype=torch.float64)
    errors = errors[torch.randperm(len(points), generator=torch.Generator().manual_seed(3))]
    matrix = torch.cat([points, blocks])
    return matrix, torch.cat([errors**2, torch.full((len(blocks),), 0.2**2).double()])


def _even(matrix: Tensor, error: float) -> tuple[Tensor, Tensor]:
    return matrix, torch.full((len(matrix),), error**2, dtype=torch.float64)


# What is seen of a state: matrix (m, size) and error variance (m,), or nothing.
SETS = {
    "few precise": lambda w: _even(_every(w, 8), 0.1),
    "many noisy": lambda w: _even(_every(w, 2), 0.5),
    "block means": lambda w: _even(_blocks(w, 4), 0.2),
    "every 4th": lambda w: _even(_every(w, 4), 0.1),
    "scattered": lambda w: _even(_scattered(w, 0.3), 0.3),
    "mixed errors": _mixed,
    "nothing": lambda w: None,
    "everywhere": lambda w: _even(torch.eye(w.size, dtype=torch.float64), 1.0),
}


@dataclass
class Problem:
    """A world, what was observed of it, and the exact posterior."""

    world: GaussianWorld
    observations: Observations | None
    mean: Tensor  # (size,)
    covariance: Tensor  # (size, size)

    @cached_property
    def root(self) -> Tensor:
        """The covariance's symmetric root."""
        values, vectors = torch.linalg.eigh(self.covariance)
        return vectors * values.clamp_min(0).sqrt() @ vectors.T

    def exact(self, count: int, seed: int) -> Tensor:
        """Draws (count, size) of the posterior."""
        generator = torch.Generator().manual_seed(seed)
        normal = torch.randn(count, len(self.mean), generator=generator).double()
        return self.mean + normal @ self.root

    def distance(self, samples: Tensor) -> float:
        """Gaussian 2-Wasserstein distance over the posterior's standard deviation."""
        centred = (samples - samples.mean(0)) / (len(samples) - 1) ** 0.5
        # The trace of (C^1/2 S C^1/2)^1/2, S = centred' centred, by singular values.
        middle = torch.linalg.svdvals(centred @ self.root).sum()
        squared = ((samples.mean(0) - self.mean) ** 2).sum()
        squared = squared + (centred**2).sum() + torch.trace(self.covariance) - 2 * middle
        return float((squared.clamp_min(0) / torch.trace(self.covariance)).sqrt())

    def floor(self, count: int, repeats: int = 8) -> float:
        """The mean distance of as many exact draws."""
        return float(np.mean([self.distance(self.exact(count, 100 + n)) for n in range(repeats)]))

    def bias(self, samples: Tensor) -> float:
        """Root mean square error of the mean, net of what sampling gives, over the spread.

        The variance that the mean of as many draws has is taken from the square, so that an
        exact sampler has zero but for the noise of that estimate.
        """
        squared = ((samples.mean(0) - self.mean) ** 2).sum() / torch.trace(self.covariance)
        own = samples.var(0).sum() / torch.trace(self.covariance) / len(samples)
        return float((squared - own).clamp_min(0).sqrt())

    def spread(self, samples: Tensor) -> float:
        """Root of the samples' total variance over the posterior's."""
        return float((samples.var(0).sum() / torch.trace(self.covariance)).sqrt())


def observe(
    world: GaussianWorld, matrix: Tensor, variance: Tensor, seed: int = 3
) -> tuple[Observations, Tensor, Tensor]:
    """Observations of a drawn truth, and the exact posterior's mean and covariance."""
    generator = torch.Generator().manual_seed(seed + 1)
    noise = variance.sqrt() * torch.randn(len(matrix), generator=generator)
    y = matrix @ world.draw(1, seed)[0] + noise
    c = world.covariance
    gain = torch.linalg.solve(matrix @ c @ matrix.T + torch.diag(variance), matrix @ c).T
    h = matrix.float()
    observation = Observation(lambda x: x.flatten(1) @ h.T, y, variance, world.times)
    return Observations([observation]), gain @ y, c - gain @ (matrix @ c)


def problem(world: GaussianWorld, name: str, seed: int = 3) -> Problem:
    """The exact problem of a world and one of :data:`SETS`."""
    seen = SETS[name](world)
    if seen is None:
        return Problem(world, None, torch.zeros(world.size).double(), world.covariance)
    return Problem(world, *observe(world, *seen, seed=seed))
