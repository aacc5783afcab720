"""Observation operators and their errors: y = H(x) + e, e ~ N(0, R), with a mask.

Each stream has its module: :mod:`degraded` (a coarse, noisy or sparse background),
:mod:`stations`, :mod:`imagery`. Streams are combined with ``+``.
"""

from slams.observation.base import Observation, Observations
from slams.observation.degraded import BlockMean, EveryNth, Identity, degrade

__all__ = ["BlockMean", "EveryNth", "Identity", "Observation", "Observations", "degrade"]
