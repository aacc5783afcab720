"""Persistence: the earlier field taken for the present one, as a forecast without a model."""

import numpy as np
import torch

from slams.classical.interpolation import interpolate_background
from slams.errors import SlamsError
from slams.observation import Observation
from slams.observation.persistence import Persistence, PersistenceOperator
from slams.statistics import Normalisation


def persist(
    stream: Observation, background: Persistence, normalisation: Normalisation, climate: np.ndarray
) -> np.ndarray:
    """The earlier field (step, level, latitude, longitude) in K, at every step of the case.

    ``stream`` is the case's background as ``background`` has observed it; ``climate``, of the
    result's shape, is its climatology in normalised units. The earlier field's departure from the
    climatology of its own time is known as block means, which are spread back by interpolation.
    """
    operator = stream.operator
    if not isinstance(operator, PersistenceOperator):
        raise SlamsError("persistence needs a background that is an earlier field")
    with torch.no_grad():
        now = operator.blocks(torch.from_numpy(climate).float()[None])[0]
    departure = Observation(operator.blocks, (stream.full - now)[:1], 1.0, stream.times[:1])
    spread = interpolate_background(departure, *climate.shape[-2:])
    then = stream.times[:1] - np.timedelta64(round(background.hours * 3600), "s")
    earlier = normalisation.climatology(then) + spread * normalisation.scale[:, None, None]
    return np.broadcast_to(earlier, climate.shape).astype(np.float32)
