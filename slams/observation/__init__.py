"""Observation operators and their errors: y = H(x) + e, e ~ N(0, R), with a mask.

Each stream has its module: :mod:`degraded` (a coarse, noisy or sparse background),
:mod:`persistence` (a background that is the field of an earlier time), :mod:`stations`,
:mod:`imagery`; :mod:`points` reads the state at places of one's own. Streams are combined with
``+``.
"""

from slams.observation.base import Observation, Observations
from slams.observation.degraded import BlockMean, EveryNth, Identity, Masked, degrade
from slams.observation.points import Points

__all__ = [
    "BlockMean",
    "EveryNth",
    "Identity",
    "Masked",
    "Observation",
    "Observations",
    "Points",
    "degrade",
]
