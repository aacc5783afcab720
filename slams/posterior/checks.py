"""What is refused.

Observations that cannot be of the prior's fields, samples that have diverged, and members no
weather could look like.
"""

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from slams.errors import SlamsError
from slams.observation.base import Observations
from slams.prior import Prior, StateSpace

# Root mean square of a member's clean estimate, whose data have variance one, beyond which it has
# diverged though it is still finite.
DIVERGED = 100.0
# In normalised units as in K no observation is this far from what the climatology gives, unless its
# error is large, too.
LARGEST_MISFIT, LARGEST_IN_ERRORS = 100.0, 50.0
REMEDY = "train the prior longer, take more sampler.steps, or check the observation errors"


def refuse_misfit(prior: StateSpace, observations: Observations) -> None:
    """Raise SlamsError, before anything is sampled, for observations of other fields or units.

    Also where nothing was observed, or where an error variance that an operator predicts is not
    positive. Asked of the fields of the state zero, which is the climatology or near it.
    """
    if not len(observations):
        raise SlamsError(
            "no observation: every value of every stream is missing; look at the streams' times "
            "and at what quality control refused"
        )
    state = torch.zeros(1, *prior.state_shape, device=observations.value.device)
    with torch.no_grad():
        fields = prior.decode(state)
        for stream in observations:
            if not len(stream):
                continue
            variance = stream.variance(fields)
            if not (torch.isfinite(variance).all() and (variance > 0).all()):
                raise SlamsError(
                    f"stream {stream.name}: the error variance that its operator predicts is not "
                    "positive and finite everywhere: mend the operator, or fit it again"
                )
            misfit = (stream.value - stream.predict(fields)).abs()
            wrong = ~(misfit <= (LARGEST_IN_ERRORS * variance.sqrt()).clamp_min(LARGEST_MISFIT))
            if wrong.any():
                raise SlamsError(
                    f"stream {stream.name}: an observation is {float(misfit[wrong].max()):.3g} "
                    "from what the climatology gives, or its operator gives no number: is it in "
                    "the operator's unit? Backgrounds and imagery are normalised, stations in K"
                )


def refuse_divergence(clean: Tensor, x: Tensor, *, step: int, steps: int, sigma: float) -> None:
    """Raise SlamsError where a clean estimate (member, ...) from ``x`` is not finite or too large.

    The message names the ``step`` of ``steps``, the noise level and the norms.
    """
    size = clean.flatten(1).pow(2).mean(1).sqrt()
    bad = ~(size <= DIVERGED)  # not a number is bad, too
    if not bad.any():
        return
    member = int(torch.nonzero(bad)[0, 0])
    before = float(x[member].pow(2).mean().sqrt())
    raise SlamsError(
        f"sampling diverged at step {step} of {steps} (sigma {sigma:.3g}): member {member} has a "
        f"root mean square of {float(size[member]):.3g}, {before:.3g} before the step; {REMEDY}"
    )


def deviations(prior: Prior, ensemble: xr.DataArray) -> np.ndarray:
    """How many standard deviations each value of ``ensemble``, in K, lies from the climatology.

    A standard deviation is the level's unit of normalisation or, where it is larger, the cell's
    own spread about the climatology: few fields to train from leave some cells with hardly any.
    Of what is no number it is none either.
    """
    spread = prior.statistics["climatology_spread"].values
    unit = np.maximum(spread, np.asarray(prior.normalisation.scale)[:, None, None])
    climatology = prior.normalisation.climatology(ensemble["time"].values)
    return np.abs(ensemble.values - climatology) / unit


def refuse_implausible(prior: Prior, ensemble: xr.DataArray, limit: float) -> None:
    """Raise SlamsError where a value lies more than ``limit`` deviations from the climatology.

    ``ensemble`` (member, time, level, latitude, longitude) is in K; a deviation is that of
    :func:`deviations`.
    """
    apart = deviations(prior, ensemble)
    place = np.unravel_index(int(np.argmax(np.nan_to_num(apart, nan=np.inf))), apart.shape)
    if apart[place] <= limit:
        return
    member, step, level, row, column = place
    climatology = prior.normalisation.climatology(ensemble["time"].values)
    kelvin = float(ensemble.values[place] - climatology[place[1:]])
    raise SlamsError(
        f"sampler.plausible: member {member} is {apart[place]:.3g} standard deviations "
        f"({kelvin:+.3g} K) from the climatology at {ensemble['level'].values[level]:g} hPa, step "
        f"{step + 1}, latitude {ensemble['latitude'].values[row]:g}, longitude "
        f"{ensemble['longitude'].values[column]:g}, more than {limit:g}: {REMEDY}; "
        "raise the key if such weather is real"
    )
