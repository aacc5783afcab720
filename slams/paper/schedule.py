"""The variance-preserving noise schedule of the paper: x(t) = mu(t) x + sigma(t) e, t in [0, 1].

    mu(t) = alpha(t) = cos(t acos(sqrt(eta)))^2,    sigma(t)^2 = 1 - alpha(t)^2 + eta^2,

with eta 1e-3, as in score-based data assimilation (Rozet and Louppe 2023, arXiv 2306.10574) and
its public code. At t 0 a noise of eta is left, at t 1 a signal of eta.

Priors here are asked in variance-exploding coordinates, x(t) / mu(t) with the noise level
s = sigma(t) / mu(t): from eta at t 0 to 1000 at t 1.
"""

import math

import torch
from torch import Tensor

ETA = 1e-3
_ANGLE = math.acos(math.sqrt(ETA))


def mu(t: Tensor) -> Tensor:
    """What is left of the signal at times ``t``, 1 to eta."""
    return torch.cos(_ANGLE * t) ** 2


def sigma(t: Tensor) -> Tensor:
    """Standard deviation of the noise at times ``t``, eta to 1."""
    return (1 - mu(t) ** 2 + ETA**2).sqrt()


def mu_of_level(level: Tensor) -> Tensor:
    """mu where the noise level sigma / mu is ``level``, in double precision; at most 1.

    From sigma^2 = 1 - mu^2 + eta^2 follows mu^2 (1 + level^2) = 1 + eta^2.
    """
    return ((1 + ETA**2) / (1 + level.double() ** 2)).sqrt().clamp_max(1.0)


def time_of_level(level: Tensor) -> Tensor:
    """The time at which the noise level is ``level``, in double precision; 0 below eta."""
    return torch.acos(mu_of_level(level).sqrt()) / _ANGLE
