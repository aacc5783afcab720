"""The sampler against exact posteriors of linear-Gaussian worlds with an exact denoiser."""

import numpy as np
import pytest
import torch
from torch import Tensor

from slams.errors import SlamsError
from slams.observation import Observation, Observations
from slams.posterior import guidance, noise_levels, sample_states

POINTS = 64
TIMES = np.array(["2001-01-01"], dtype="datetime64[ns]")


class GaussianWorld:
    """x ~ N(0, C) on a ring; its denoiser is C (C + sigma^2)^-1 x, exactly."""

    def __init__(self, length: float = 6.0) -> None:
        position = np.arange(POINTS)
        apart = np.abs(position[:, None] - position[None])
        apart = np.minimum(apart, POINTS - apart)
        covariance = np.exp(-0.5 * (apart / length) ** 2) + 1e-4 * np.eye(POINTS)
        self.covariance = torch.from_numpy(covariance / covariance[0, 0])
        self.eigenvalues, self.vectors = torch.linalg.eigh(self.covariance)
        self.state_shape = (1, 1, 1, POINTS)

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        gain = self.eigenvalues / (self.eigenvalues + sigma.double() ** 2)
        flat = x.flatten(1).double() @ self.vectors * gain @ self.vectors.T
        return flat.float().view_as(x)

    def decode(self, x: Tensor) -> Tensor:
        return x

    def posterior(self, matrix: np.ndarray, y: Tensor, variance: float) -> tuple[Tensor, Tensor]:
        h = torch.from_numpy(matrix)
        c = self.covariance
        gain = c @ h.T @ torch.linalg.inv(h @ c @ h.T + variance * torch.eye(len(h)).double())
        return gain @ y.double(), c - gain @ h @ c


def few_precise() -> tuple[np.ndarray, float]:
    return np.eye(POINTS)[::8], 0.1**2


def many_noisy() -> tuple[np.ndarray, float]:
    return np.eye(POINTS)[::2], 0.5**2


def block_means() -> tuple[np.ndarray, float]:
    return np.kron(np.eye(8), np.full((1, 8), 1 / 8)), 0.2**2


def everywhere() -> tuple[np.ndarray, float]:
    return np.eye(POINTS), 1.0


def ensemble(
    world: GaussianWorld,
    matrix: np.ndarray,
    y: Tensor,
    variance: float,
    *,
    method: str = "mmps",
    members: int = 512,
    steps: int = 32,
    seed: int = 0,
) -> Tensor:
    h = torch.from_numpy(matrix).float()
    observation = Observation(
        lambda x: (x.flatten(1) @ h.T)[:, None, None, None],
        y.float()[None, None, None],
        variance,
        TIMES,
    )
    states = sample_states(
        world,
        Observations([observation]),
        members,
        guide=guidance(method),
        levels=noise_levels(steps, 0.02, 80.0),
        generator=torch.Generator().manual_seed(seed),
        times=TIMES,
    )
    return states.flatten(1).double()


def wasserstein(samples: Tensor, mean: Tensor, covariance: Tensor) -> float:
    """Gaussian 2-Wasserstein distance over the posterior standard deviation."""

    def root(matrix: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        return vectors * values.clamp_min(0).sqrt() @ vectors.T

    own = torch.cov(samples.T)
    middle = root(root(covariance) @ own @ root(covariance))
    squared = ((samples.mean(0) - mean) ** 2).sum() + torch.trace(own + covariance - 2 * middle)
    return float((squared.clamp_min(0) / torch.trace(covariance)).sqrt())


@pytest.mark.parametrize("case", [few_precise, many_noisy, block_means, everywhere])
def test_mmps_gives_the_exact_posterior(case):
    world = GaussianWorld()
    matrix, variance = case()
    torch.manual_seed(3)
    truth = world.vectors @ (world.eigenvalues.sqrt() * torch.randn(POINTS).double())
    y = torch.from_numpy(matrix) @ truth + variance**0.5 * torch.randn(len(matrix))
    mean, covariance = world.posterior(matrix, y, variance)
    samples = ensemble(world, matrix, y, variance)
    exact = torch.distributions.MultivariateNormal(mean, covariance + 1e-9 * torch.eye(POINTS))
    floor = np.mean([wasserstein(exact.sample((512,)), mean, covariance) for _ in range(16)])
    deviation = torch.diagonal(covariance).mean().sqrt()
    assert float((samples.mean(0) - mean).abs().mean() / deviation) < 0.1
    ratio = float((torch.trace(torch.cov(samples.T)) / torch.trace(covariance)).sqrt())
    assert 0.95 < ratio < 1.05
    assert wasserstein(samples, mean, covariance) < 1.5 * floor


def test_fewer_evaluations_stay_close():
    world = GaussianWorld()
    matrix, variance = few_precise()
    y = torch.from_numpy(matrix) @ (world.vectors @ world.eigenvalues.sqrt())
    mean, covariance = world.posterior(matrix, y, variance)
    samples = ensemble(world, matrix, y, variance, steps=8)
    assert wasserstein(samples, mean, covariance) < 0.25


def test_the_papers_score_is_further_from_the_posterior_than_moment_matching():
    world = GaussianWorld()
    matrix, variance = few_precise()
    y = torch.from_numpy(matrix) @ (world.vectors @ world.eigenvalues.sqrt())
    mean, covariance = world.posterior(matrix, y, variance)
    ours, paper = (
        wasserstein(ensemble(world, matrix, y, variance, method=m), mean, covariance)
        for m in ("mmps", "sda")
    )
    assert ours < paper < 1


def test_without_observations_the_prior_is_sampled():
    world = GaussianWorld()
    states = sample_states(
        world,
        None,
        512,
        guide=guidance("mmps"),
        levels=noise_levels(32, 0.02, 80.0),
        generator=torch.Generator().manual_seed(0),
        times=TIMES,
    )
    assert wasserstein(states.flatten(1).double(), torch.zeros(POINTS), world.covariance) < 0.2


def test_what_stands_in_a_missing_values_place_changes_nothing():
    world = GaussianWorld()
    value = torch.zeros(1, 1, 1, POINTS)
    value[..., 1::2] = torch.nan
    results = []
    for variance in (0.1, torch.where(torch.isnan(value), 1e6, 0.1)):
        observation = Observation(lambda x: x, value, variance, TIMES)
        results.append(
            sample_states(
                world,
                Observations([observation]),
                4,
                guide=guidance("mmps"),
                levels=noise_levels(8, 0.02, 80.0),
                generator=torch.Generator().manual_seed(0),
                times=TIMES,
            )
        )
    assert torch.equal(*results)


def test_divergence_is_an_error_that_names_the_step():
    class Diverging(GaussianWorld):
        def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
            return x * (torch.inf if sigma < 1 else 1.0)

    with pytest.raises(SlamsError, match=r"diverged at step \d+ of 8"):
        sample_states(
            Diverging(),
            None,
            2,
            guide=guidance("mmps"),
            levels=noise_levels(8, 0.02, 80.0),
            generator=torch.Generator().manual_seed(0),
            times=TIMES,
        )


def test_a_ladder_needs_two_levels_and_an_order():
    with pytest.raises(SlamsError, match="sigma_min below sigma_max"):
        noise_levels(8, 2.0, 1.0)
    with pytest.raises(SlamsError, match=r"sampler.method: 'best'"):
        guidance("best")
