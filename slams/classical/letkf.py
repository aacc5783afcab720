"""A local ensemble transform Kalman filter over analogues from the training period.

Of the training windows those that look most like what was seen of a case are its ensemble; their
mean is the first guess, and what their spread and the observations leave open is found column by
column (Hunt, Kostelich and Szunyogh 2007, Physica D 230, 112): with Y the images of the members
about their mean, and R^-1 tapered with the distance from the column,

    P = [(k - 1) I / inflation + Y' R^-1 Y]^-1,   w = P Y' R^-1 d,
    mean = x + X w,   covariance = X P X'

(their eqs. 20, 21, 10). Mean and variance need no square root of P, so that a Cholesky factor does
what they do with eigenvectors. The taper depends on places alone: Y' R^-1 Y is summed at every
place once, and a column's is the tapered sum over places.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from slams.classical.blocks import Block, Columns
from slams.classical.innovations import Innovations
from slams.errors import SlamsError
from slams.tapers import distances, taper

PLACES_AT_ONCE = 1024  # whose members' products are found together
REMEDY = "look at the store's fields and at the observations' errors"


def analogues(seen: Innovations, members: int) -> Tensor:
    """The numbers (members,) of the windows that look most like a case, the best first.

    The misfit of a window is the mean over streams of the mean square of y - H(window), each over
    the variance that it is expected to have: that of the images and of the error. Raises
    SlamsError where the sample has fewer windows than ``members``.
    """
    count = len(seen.images)
    if count < members:
        raise SlamsError(
            f"classical.letkf.members is {members}: the training period gives {count} windows; "
            "lower the key, or raise classical.samples and widen periods.train"
        )
    expected = seen.images.var(0) + seen.variance
    square = (seen.value - seen.images) ** 2 / expected
    streams = torch.unique(seen.stream)
    misfit = torch.stack([square[:, seen.stream == one].mean(1) for one in streams]).mean(0)
    return torch.argsort(misfit, stable=True)[:members]


class Members:
    """The analogues of a case, and what the observations of every place say of them.

    ``numbers`` (k,) are those of the sample's windows. ``products`` (place, k (k + 1) / 2) are
    the lower triangles of Y' R^-1 Y, at ``rows`` and ``columns``, and ``pulls`` (place, k)
    Y' R^-1 d, each summed over the values of a place.
    """

    def __init__(self, seen: Innovations, numbers: Tensor) -> None:
        self.seen, self.numbers = seen, numbers
        images = seen.images[numbers]
        middle = images.mean(0)
        departure = seen.value.to(images) - middle
        about = (images - middle).T.contiguous()  # (m, k)
        weighted = about / seen.variance.to(images)[:, None]
        places, size = len(seen.places), len(numbers)
        self.pulls = images.new_zeros(places, size)
        self.pulls.index_add_(0, seen.place, weighted * departure[:, None])
        # Symmetric, and moving them is what the analysis spends its time on: one half will do.
        self.rows, self.columns = torch.tril_indices(size, size, device=images.device)
        self.products = images.new_zeros(places, len(self.rows))
        self._room: Tensor | None = None
        # Places with as many values as one another go together, as matrices of one shape.
        order, counts = torch.argsort(seen.place, stable=True), torch.bincount(seen.place)
        first = counts.cumsum(0) - counts
        for count in torch.unique(counts[counts > 0]).tolist():
            for some in torch.nonzero(counts == count)[:, 0].split(PLACES_AT_ONCE):
                within = torch.arange(count, device=order.device)
                values = order[first[some, None] + within].flatten()
                left = about.index_select(0, values).unflatten(0, (len(some), count))
                right = weighted.index_select(0, values).unflatten(0, (len(some), count))
                self.products[some] = (left.mT @ right)[:, self.rows, self.columns]

    def products_at(self, near: Tensor) -> Tensor:
        """The products of places numbered ``near``, until the next call."""
        if self._room is None:
            # Memory that is new at every block costs more than what is done with it.
            self._room = torch.empty_like(self.products)
        return torch.index_select(self.products, 0, near, out=self._room[: len(near)])


@dataclass(frozen=True)
class LETKF:
    """The analysis of one case with its ``members``, a ``radius_km`` and an ``inflation``.

    Observations have no weight from ``radius_km`` on; ``inflation`` multiplies the members'
    covariance.
    """

    members: Members
    radius_km: float
    inflation: float

    def analyse(self, block: Block, columns: list[Columns]) -> list[tuple[Tensor, Tensor]]:
        """Mean and variance (1, q, r) of each of the ``columns``, about the climatology.

        Raises SlamsError where they are not finite, or members have no covariance.
        """
        places = self.members.seen.places
        away = distances(block.centre.to(places), places)[0]
        near = torch.nonzero(away < self.radius_km + block.reach_km)[:, 0]
        return [self._columns(one, near) for one in columns]

    def _columns(self, columns: Columns, near: Tensor) -> tuple[Tensor, Tensor]:
        members, size = self.members, len(self.members.numbers)
        reach = taper(columns.places, members.seen.places[near], self.radius_km).to(
            members.products
        )
        # The factorisation reads the lower triangle alone.
        precision = reach.new_zeros(len(reach), size, size)
        precision[:, members.rows, members.columns] = reach @ members.products_at(near)
        precision.diagonal(dim1=1, dim2=2).add_((size - 1) / self.inflation)
        factor, failed = torch.linalg.cholesky_ex(precision)
        if failed.any():
            raise SlamsError(f"LETKF: no covariance of members; {REMEDY}")
        weights = torch.cholesky_solve(
            (reach @ members.pulls.index_select(0, near))[..., None], factor
        )
        states = columns.states.index_select(2, members.numbers).to(reach)
        middle = states.mean(2)
        states = states - middle[..., None]  # (q, r, k)
        mean = middle + (states @ weights)[..., 0]
        # X P X' with P = (L L')^-1: the squares of X L'^-1.
        whitened = torch.linalg.solve_triangular(factor.mT, states, upper=True, left=False)
        variance = (whitened**2).sum(2)
        if not (torch.isfinite(mean).all() and torch.isfinite(variance).all()):
            raise SlamsError(f"LETKF: an analysis is not finite; {REMEDY}")
        return mean[None], variance[None]
