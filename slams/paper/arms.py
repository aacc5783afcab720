"""The paper's arms: what they observe, and their ensembles.

In pixel space y = A(x) + noise, as in ours. In latent space y = A(E(x)) + noise: the operator
acts on the cells of the encoded truth, the noise's standard deviation is in units of latents that
are not standardised, and the observation never was a field. Other data c enter through the encoder,
y = A(E(x, c)) + noise (:mod:`slams.paper.inputs`).
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
from slams.paper.autoencoder import PaperAutoencoder
from slams.paper.inputs import EncoderInputs
from slams.paper.sampler import sample_states
from slams.paper.trajectory import Chain
from slams.prior import Prior, StateSpace


class Undecoded:
    """A prior as the sampler sees it where observations are of the state itself."""

    def __init__(self, prior: StateSpace) -> None:
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


def observe(
    prior: Prior,
    case: Case,
    background: Background | None,
    *,
    inputs: EncoderInputs | None = None,
    seed: int,
) -> Observation:
    """The paper's observation of a case: its encoded truth, degraded as an axis has it.

    In pixel space it is the background that all arms see. ``inputs`` is what the encoder takes
    beside the truth. Raises SlamsError where the background is not a degraded truth, which is all
    that the paper has, and where the inputs are not what the encoder takes.
    """
    if not isinstance(background, Degraded):
        raise SlamsError(
            "an arm with recipe: paper observes a degraded background and nothing else: the axes "
            "coarse, noise and sparse"
        )
    with torch.no_grad():
        encoded = _encoded(prior, case, inputs).cpu()
    return degrade(
        encoded.numpy(),
        background.operator,
        case.times,
        noise=background.noise,
        every=background.every,
        seed=seed,
    )


def _encoded(prior: Prior, case: Case, inputs: EncoderInputs | None) -> Tensor:
    """The truth of a case as a state of the prior (step, channel, latitude, longitude)."""
    truth = torch.from_numpy(case.truth).to(prior.device)
    if inputs is None:
        return prior.encode(truth[None])[0]
    model = prior.autoencoder
    if not isinstance(model, PaperAutoencoder) or model.inputs != inputs.channels:
        raise SlamsError(
            f"the arm's encoder takes {', '.join(inputs.channels)}, but its prior was trained with "
            "another encoder: train it again"
        )
    return inputs.encoder(model)(truth, case.times)


def analyse(
    prior: Prior, observation: Observation, sampler: Mapping[str, Any], *, seed: int
) -> xr.DataArray:
    """An ensemble given an :func:`observe`: (member, time, level, latitude, longitude) in K.

    ``sampler`` is the configuration's paper.sampler. A case of more steps than the prior's window
    is put together of windows (:mod:`slams.paper.trajectory`). The states are decoded once, at the
    end.
    """
    steps = len(observation.times)
    states = sample_states(
        Undecoded(prior if steps == prior.state_shape[0] else Chain(prior, steps)),
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
