"""The ladder of noise levels that a sampler walks down.

It must begin where noise drowns the state. The walk starts from noise alone, and what the state
adds to it there is left out: of a mode of standard deviation s a free sample has, at a first level
of s, only 85 % of the spread, and the estimate of one that is half observed is a quarter of its
standard deviation off (tests/posterior/test_ladder.py). The modes that all cells share vary much
more than a cell does, the more of them there are.
"""

import logging
import math

import torch
from torch import Tensor

from slams.errors import SlamsError
from slams.gaussian import GaussianBase

log = logging.getLogger(__name__)

# The first level in standard deviations of the prior's largest mode, and at the least.
FIRST_OF_LARGEST, LEAST_FIRST = 4.0, 40.0


def first_level(base: GaussianBase | None, given: float | None) -> float:
    """The first noise level: the one ``given`` or, without one, what the prior's ``base`` needs.

    Raises SlamsError where there is neither. One that is too low is warned of.
    """
    if base is None:
        if given is None:
            raise SlamsError(
                "sampler.sigma_max: a prior without a linear-Gaussian base does not say how much "
                "it varies: set the key, or set modes of the prior above 0 and train again"
            )
        return given
    needed = max(LEAST_FIRST, FIRST_OF_LARGEST * base.largest)
    if given is None:
        return needed
    if given < 0.5 * FIRST_OF_LARGEST * base.largest:
        log.warning(
            "sampler.sigma_max is %g, and a mode of the prior has a standard deviation of %.3g: "
            "ensembles will be too narrow along it; leave the key null, which takes %.3g",
            given,
            base.largest,
            needed,
        )
    return given


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
