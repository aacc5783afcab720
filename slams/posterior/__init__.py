"""Posterior sampling: a diffusion prior and observations of any mixture, to an ensemble.

A state walks from pure noise down a ladder of noise levels (:mod:`~slams.posterior.sampling`). At
each level the denoiser estimates the clean state and :mod:`~slams.posterior.guidance` corrects the
estimate by the observations, which for moment matching takes a linear system
(:mod:`~slams.posterior.linear`).
"""

from slams.posterior.guidance import (
    CORRECTION_LIMIT,
    GAMMA,
    Guidance,
    Start,
    dps,
    guidance,
    mmps,
    sda,
)
from slams.posterior.ladder import first_level, noise_levels
from slams.posterior.linear import (
    conjugate_gradients,
    minimal_residual,
    stabilised_biconjugate_gradients,
)
from slams.posterior.sampling import sample, sample_states

__all__ = [
    "CORRECTION_LIMIT",
    "GAMMA",
    "Guidance",
    "Start",
    "conjugate_gradients",
    "dps",
    "first_level",
    "guidance",
    "minimal_residual",
    "mmps",
    "noise_levels",
    "sample",
    "sample_states",
    "sda",
    "stabilised_biconjugate_gradients",
]
