"""The state at points: bilinear between the centres of the cells around them.

Around the date line the columns close; between the last row and the pole the neighbour is the
same row half a turn away (:func:`slams.grid.bilinear`).
"""

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from slams.errors import SlamsError
from slams.grid import Grid, bilinear


def at_points(fields: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Fields (..., latitude, longitude) at points: (..., point).

    ``indices`` and ``weights`` (point, 4) are those of :func:`slams.grid.bilinear`.
    """
    return (fields.flatten(-2)[..., indices] * weights).sum(-1)


class Points(nn.Module):
    """Every level at given places: (batch, step, level, point) from normalised fields.

    ``latitude``, ``longitude`` (point,) in degrees north and east. Raises SlamsError where a
    place is not on the sphere, and where the fields are not on the ``grid``.
    """

    affine = True
    by_level = True
    indices: Tensor
    weights: Tensor

    def __init__(self, grid: Grid, latitude: ArrayLike, longitude: ArrayLike) -> None:
        super().__init__()
        indices, weights = bilinear(grid, latitude, longitude)
        self.shape = grid.shape
        self.register_buffer("indices", torch.from_numpy(indices))
        self.register_buffer("weights", torch.from_numpy(weights))

    def forward(self, x: Tensor) -> Tensor:
        """Values (batch, step, level, point) of fields (batch, step, level, lat, lon)."""
        if tuple(x.shape[-2:]) != self.shape:
            raise SlamsError(
                f"points of a grid of {self.shape[0]} x {self.shape[1]} cells cannot be read from "
                f"fields of {x.shape[-2]} x {x.shape[-1]}: give the grid of the fields"
            )
        return at_points(x, self.indices, self.weights.to(x))
