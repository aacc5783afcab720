"""What is refused: samples that have diverged, and members no weather could look like."""

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from slams.errors import SlamsError
from slams.prior import Prior

# Root mean square of a member's clean estimate, whose data have variance one, beyond which it has
# diverged though it is still finite.
DIVERGED = 100.0
REMEDY = "train the prior longer, take more sampler.steps, or check the observation errors"


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


def refuse_implausible(prior: Prior, ensemble: xr.DataArray, limit: float) -> None:
    """Raise SlamsError where a value lies more than ``limit`` deviations from the climatology.

    ``ensemble`` (member, time, level, latitude, longitude) is in K. A standard deviation is the
    level's unit of normalisation or, where it is larger, the cell's own spread about the
    climatology: few fields to train from leave some cells with hardly any.
    """
    climatology = prior.normalisation.climatology(ensemble["time"].values)
    spread = prior.statistics["climatology_spread"].values
    unit = np.maximum(spread, np.asarray(prior.normalisation.scale)[:, None, None])
    apart = np.abs(ensemble.values - climatology) / unit
    place = np.unravel_index(int(np.argmax(np.nan_to_num(apart, nan=np.inf))), apart.shape)
    if apart[place] <= limit:
        return
    member, step, level, row, column = place
    kelvin = float(ensemble.values[place] - climatology[place[1:]])
    raise SlamsError(
        f"sampler.plausible: member {member} is {apart[place]:.3g} standard deviations "
        f"({kelvin:+.3g} K) from the climatology at {ensemble['level'].values[level]:g} hPa, step "
        f"{step + 1}, latitude {ensemble['latitude'].values[row]:g}, longitude "
        f"{ensemble['longitude'].values[column]:g}, more than {limit:g}: {REMEDY}; "
        "raise the key if such weather is real"
    )
