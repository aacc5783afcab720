"""Quality control: observations against what was to be expected before they were seen.

What is to be expected of a stream is H over plausible fields: the first guess of the case plus
each of the errors that first guesses made over validation windows (where there is no background
the first guess is the climatology). Their mean and variance B, plus the error's variance R, say
how far an observation may lie off: its departure d is z = |d| / sqrt(B + R) standard deviations.

Two remedies, for two kinds of error:

- beyond a limit that no sound observation reaches, the value is refused;
- between, where one cannot tell a poor observation from a poor first guess, it is believed less.
  With Huber's weight (Huber 1964, Ann. Math. Statist. 35, 73), w = k / z beyond z = k, a
  departure counts as much as one of k standard deviations and no more; operational analyses use
  that norm for their quality control (Tavolato and Isaksen 2015, Q. J. R. Meteorol. Soc. 141,
  1514). A posterior sampler takes variances, so w becomes one: with an error's variance R' an
  observation moves the analysis by B / (B + R') d, which stays at the movement of a departure of
  k sqrt(B + R), in the same direction, if

      B + R' = (B + R) / w,   R' = R + (B + R) (z / k - 1).
"""

import torch
from torch import Tensor

from slams.errors import SlamsError
from slams.observation.base import Observation

SHRINKAGE_FIELDS = 8.0  # a value's own B weighs as much as the stream's mean B after these


def expected(observation: Observation, fields: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (n,) of what an observation of ``fields`` would give, its error in it.

    ``fields`` (m, step, level, latitude, longitude) are plausible normalised windows. The
    variance B of a single value is drawn towards the stream's (where it has channels or levels,
    that of the value's own), since ``fields`` are few. Raises
    SlamsError where there are fewer than two, which let nothing be expected.
    """
    if len(fields) < 2:
        raise SlamsError(
            f"stream {observation.name}: {len(fields)} windows do not say how far the climate "
            "varies; widen periods.validation"
        )
    with torch.no_grad():
        predicted = torch.cat([observation.predict(field[None]) for field in fields])
        error = torch.cat([observation.variance(field[None]) for field in fields]).mean(0)
    own, count = predicted.var(0), len(fields)
    pooled = _pooled(observation, own)
    spread = (count * own + SHRINKAGE_FIELDS * pooled) / (count + SHRINKAGE_FIELDS)
    return predicted.mean(0), spread + error


def _pooled(observation: Observation, own: Tensor) -> Tensor:
    """The mean of ``own`` (n,) over the values of the same channel or level, or over all."""
    if not getattr(observation.operator, "by_level", False):
        return own.mean()
    on_map = observation.on_map(own, torch.nan).transpose(0, 1).flatten(1)
    means = on_map.nanmean(1).view(1, -1, *[1] * (observation.full.ndim - 2))
    return means.expand(observation.full.shape).flatten()[observation.seen]


def refuse_gross(observation: Observation, fields: Tensor, limit: float) -> tuple[Observation, int]:
    """Drop values more than ``limit`` standard deviations from what is :func:`expected`.

    Returns the observations left and the number refused.
    """
    mean, variance = expected(observation, fields)
    far = (observation.value - mean).abs() > limit * variance.sqrt()
    observation.drop(far)
    return observation, int(far.sum())


def deweight(observation: Observation, fields: Tensor, limit: float) -> int:
    """Inflate the error of values more than ``limit`` standard deviations from the expected.

    By Huber's weight, see the module. Returns the number of values that are believed less.
    """
    mean, variance = expected(observation, fields)
    beyond = (observation.value - mean).abs() / variance.sqrt() / limit - 1
    extra = variance * beyond.clamp_min(0)
    observation.inflate(observation.on_map(extra, 0.0))
    return int((extra > 0).sum())
