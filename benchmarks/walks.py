"""Other ways down the ladder of noise levels, to compare with slams.posterior's.

Each takes states (batch, ...) at the first of the levels to the clean estimate at the last.
``guided(x, sigma)`` is the estimate of the clean state; ``noise()`` draws a standard normal of
the states' shape. Noise levels are those of a process without drift: x = clean + sigma noise.
"""

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor

Guided = Callable[[Tensor, Tensor], Tensor]
Noise = Callable[[], Tensor]


def ancestral(guided: Guided, x: Tensor, levels: Tensor, noise: Noise) -> Tensor:
    """DDPM (Ho et al. 2020): the clean estimate stands for the clean state."""
    for sigma, following in pairwise(levels):
        clean, ratio = guided(x, sigma), (following / sigma) ** 2
        x = clean + ratio * (x - clean) + following * (1 - ratio).sqrt() * noise()
    return guided(x, levels[-1])


def implicit(guided: Guided, x: Tensor, levels: Tensor, noise: Noise) -> Tensor:
    """DDIM (Song et al. 2021) without noise: Euler's method for the probability flow."""
    for sigma, following in pairwise(levels):
        clean = guided(x, sigma)
        x = clean + following / sigma * (x - clean)
    return guided(x, levels[-1])


def heun(guided: Guided, x: Tensor, levels: Tensor, noise: Noise) -> Tensor:
    """Heun's method for the probability flow (Karras et al. 2022), two estimates a step."""
    for sigma, following in pairwise(levels):
        slope = (x - guided(x, sigma)) / sigma
        there = x + (following - sigma) * slope
        ahead = (there - guided(there, following)) / following
        x = x + (following - sigma) * (slope + ahead) / 2
    return guided(x, levels[-1])


def multistep(guided: Guided, x: Tensor, levels: Tensor, noise: Noise) -> Tensor:
    """Second-order exponential Adams-Bashforth in the noise (Zhang and Chen 2023).

    With u = log sigma the flow is dx/du = e^u z, z the estimate of the noise; z is extrapolated
    through its last two values, and the integral of e^u times a line is exact.
    """
    before, last = None, None
    for sigma, following in pairwise(levels):
        z = (x - guided(x, sigma)) / sigma
        moved = (following - sigma) * z
        if before is not None:
            width = (following / sigma).log()
            slope = (z - before) / (sigma / last).log()
            moved = moved + (following * (width - 1) + sigma) * slope
        x, before, last = x + moved, z, sigma
    return guided(x, levels[-1])


WALKS = {
    "DDPM": ancestral,
    "DDIM": implicit,
    "Heun": heun,
    "exponential Adams-Bashforth": multistep,
}
