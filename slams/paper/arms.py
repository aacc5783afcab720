"""The paper's arms: what they observe, and their ensembles.

In pixel space y = A(x) + noise, as in ours. In latent space y = A(E(x)) + noise: the operator
acts on the cells of the encoded truth, the noise's standard deviation is in units of latents that
are not standardised, and the observation never was a field.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from slams.cases import Case
from slams.errors import SlamsError
from slams.observation import Observation, Observations, degrade
from slams.observation.background import Background, Degraded
from slams.paper.sampler import sample_states
from slams.prior import Prior


class Undecoded:
    """A prior as the sampler sees it where observations are of the state itself."""

    def __init__(self, prior: Prior) -> None:
        self.prior = prior

    @property
    def state_shape(self) -> tuple[int, ...]:
        """(step, channel, latitude, longitude) of a state."""
        return self.prior.state_shape

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        """Estimate of the clean state from ``x`` (batch, *state_shape) at ``sigma`` (scalar)."""
        return self.prior.denoise(x, sigma, times)

    def decode(self, x: Tensor) -> Tensor:
        """``x`` itself."""
        return x


def observe(prior: Prior, case: Case, background: Background | None, *, seed: int) -> Observation:
    """The paper's observation of a case: its encoded truth, degraded as an axis has it.

    In pixel space it is the background that all arms see. Raises SlamsError where the background
    is not a degraded truth, which is all that the paper has.
    """
    if not isinstance(background, Degraded):
        raise SlamsError(
            "an arm with recipe: paper observes a degraded background and nothing else: the axes "
            "coarse, noise and sparse"
        )
    with torch.no_grad():
        encoded = prior.encode(torch.from_numpy(case.truth)[None].to(prior.device))[0]
    return degrade(
        encoded.cpu().numpy(),
        background.operator,
        case.times,
        noise=background.noise,
        every=background.every,
        seed=seed,
    )


def analyse(
    prior: Prior, observation: Observation, sampler: Mapping[str, Any], *, seed: int
) -> xr.DataArray:
    """An ensemble given an :func:`observe`: (member, time, level, latitude, longitude) in K.

    ``sampler`` is the configuration's paper.sampler. The states are decoded once, at the end.
    """
    states = sample_states(
        Undecoded(prior),
        Observations([observation]).to(prior.device),
        sampler["members"],
        generator=torch.Generator().manual_seed(seed),
        times=observation.times,
        steps=sampler["steps"],
        corrections=sampler["corrections"],
        tau=sampler["tau"],
        gamma=sampler["gamma"],
    )
    with torch.no_grad():
        ensemble = prior.to_kelvin(prior.decode(states), observation.times)
    return ensemble.assign_attrs(method="paper", steps=sampler["steps"], seed=seed)
