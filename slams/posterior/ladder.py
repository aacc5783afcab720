"""The ladder of noise levels that a sampler walks down."""

import math

import torch
from torch import Tensor

from slams.errors import SlamsError


def noise_levels(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Noise levels (steps,) from ``sigma_max`` to ``sigma_min``, a constant ratio apart.

    Raises SlamsError where these are no ladder.
    """
    if steps < 2 or not 0 < sigma_min < sigma_max < math.inf:
        raise SlamsError(
            f"sampler: {steps} steps from {sigma_max} to {sigma_min} is no ladder; steps must be "
            "at least 2 and sigma_min below sigma_max"
        )
    return torch.logspace(math.log10(sigma_max), math.log10(sigma_min), steps)
