"""Ladders of noise levels and solvers, against posteriors known in closed form.

    python benchmarks/sampler.py

Prints the Gaussian 2-Wasserstein distance of 512 samples to the exact posterior, over the
posterior standard deviation, and the ratio of the spreads, for the worlds of
tests/test_posterior.py; the last line is the distance of 512 exact draws.
"""

import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from test_posterior import (
    POINTS,
    TIMES,
    GaussianWorld,
    block_means,
    everywhere,
    few_precise,
    many_noisy,
    wasserstein,
)

from slams.observation import Observation, Observations
from slams.posterior import guidance

LOW, HIGH, MEMBERS = 0.02, 80.0, 512


def geometric(steps: int) -> Tensor:
    """A constant ratio between levels."""
    return torch.logspace(math.log10(HIGH), math.log10(LOW), steps)


def karras(steps: int) -> Tensor:
    """Karras et al. 2022, eq. 5, rho 7."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = LOW ** (1 / 7), HIGH ** (1 / 7)
    return ((high + ramp * (low - high)) ** 7).float()


def sample(denoise: Callable, shape: tuple, levels: Tensor, order: int, noise: bool) -> Tensor:
    """First or second order, stochastic or not, in the clean state's estimate."""
    generator = torch.Generator().manual_seed(0)

    def draw() -> Tensor:
        return torch.randn(shape, generator=generator)

    x, before, step, start = levels[0] * draw(), None, 0.0, None
    for number, sigma in enumerate(levels):
        clean, start = denoise(x, sigma, start)
        if number + 1 == len(levels):
            break
        following = levels[number + 1]
        width = math.log(sigma / following)
        ahead = clean
        if order == 2 and before is not None:
            ahead = clean + width / (2 * step) * (clean - before)
        ratio = following / sigma
        if noise:
            x = ahead + ratio**2 * (x - ahead) + following * (1 - ratio**2).sqrt() * draw()
        else:
            x = ahead + ratio * (x - ahead)
        before, step = clean, width
    return clean


def main() -> None:
    """Print the table."""
    world, guide = GaussianWorld(), guidance("mmps")
    problems = []
    for case in (few_precise, many_noisy, block_means, everywhere):
        matrix, variance = case()
        torch.manual_seed(3)
        truth = world.vectors @ (world.eigenvalues.sqrt() * torch.randn(POINTS).double())
        y = torch.from_numpy(matrix) @ truth + variance**0.5 * torch.randn(len(matrix))
        h = torch.from_numpy(matrix).float()

        def observe(x: Tensor, h: Tensor = h) -> Tensor:
            return (x.flatten(1) @ h.T)[:, None, None, None]

        observation = Observation(observe, y.float()[None, None, None], variance, TIMES)
        problems.append((Observations([observation]), *world.posterior(matrix, y, variance)))
    heads = "few precise", "many noisy", "block means", "everywhere"
    print(f"{'levels':10}{'solver':28}{'steps':>6}" + "".join(f"{head:>18}" for head in heads))
    for ladder in (karras, geometric):
        for order, noise, name in (
            (1, True, "ancestral"),
            (2, False, "second order, deterministic"),
            (2, True, "second order, stochastic"),
        ):
            for steps in (8, 16, 32):
                texts = []
                for observations, mean, covariance in problems:
                    states = sample(
                        partial(guide, world, observations),
                        (MEMBERS, *world.state_shape),
                        ladder(steps),
                        order,
                        noise,
                    )
                    states = states.flatten(1).double()
                    ratio = (torch.trace(torch.cov(states.T)) / torch.trace(covariance)).sqrt()
                    texts.append(f"{wasserstein(states, mean, covariance):.3f} ({ratio:.2f})")
                line = "".join(f"{text:>18}" for text in texts)
                print(f"{ladder.__name__:10}{name:28}{steps:6}{line}")
    texts = []
    for _, mean, covariance in problems:
        law = torch.distributions.MultivariateNormal(mean, covariance + 1e-9 * torch.eye(POINTS))
        draws = [wasserstein(law.sample((MEMBERS,)), mean, covariance) for _ in range(16)]
        texts.append(f"{np.mean(draws):.3f}")
    print(f"{'exact draws':44}" + "".join(f"{text:>18}" for text in texts))


if __name__ == "__main__":
    main()
