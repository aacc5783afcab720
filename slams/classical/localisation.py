"""Where the values of a stream lie, from which the classical analyses taper its covariances."""

import numpy as np
from torch import Tensor

from slams.errors import SlamsError
from slams.observation.base import Observation
from slams.observation.stations import StationOperator
from slams.tapers import cell_places, unit_vectors


def observation_places(stream: Observation, latitude: np.ndarray, longitude: np.ndarray) -> Tensor:
    """Places (p, 3) of what a stream may see, in the order of its last dimensions.

    A value's place is its number in the flattened values, modulo p. A block or a pixel stands at
    its centre, a station where it is. ``latitude``, ``longitude`` are those of the cells, degrees.
    Raises SlamsError where the operator does not say where it looks.
    """
    operator = stream.operator
    if isinstance(operator, StationOperator):
        return unit_vectors(operator.latitude, operator.longitude)
    positions = getattr(operator, "positions", None)
    if positions is None:
        raise SlamsError(
            f"stream {stream.name}: its operator {type(operator).__name__} does not say where its "
            "values lie, so they cannot be localised; take identity, block mean, every n-th cell, "
            "stations or imagery"
        )
    row, column = positions(len(latitude), len(longitude))
    # Cells are evenly spaced: between their centres a position is linear.
    north = latitude[0] + row * (latitude[1] - latitude[0])
    east = longitude[0] + column * (longitude[1] - longitude[0])
    return cell_places(north, east)
