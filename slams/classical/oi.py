"""Optimal interpolation with the covariances of the training period.

The prior is N(climatology, B), B = rho(distance) o X X' / (n - 1), X the n training windows about
their mean, rho a taper of the horizontal distance (:mod:`localisation`): levels and steps of a
window vary together as they did in the training period. All observations of a case, y = H x + e
with e ~ N(0, R), enter at once, the background as one among them:

    mean = B H' (H B H' + R)^-1 d,      variance = diag(B - B H' (H B H' + R)^-1 H B),

d the departure of y from H(climatology) (Gandin 1963; Daley 1991, eq. 4.2.10). B H' and H B H' are
the sample's covariances with its images through H, tapered between places, so H need be no matrix.
Of an H that is not linear, d is taken from the images' mean, which is what such an estimate, the
best linear one, starts from.

No white term is added to B: a column has fewer levels and steps than the sample has windows, the
taper makes B of full rank across columns, and R is in the matrix that is inverted.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from slams.classical.blocks import Block, Columns
from slams.classical.innovations import Innovations
from slams.classical.localisation import distances, taper
from slams.errors import SlamsError

ROUNDING = 1e-3  # of the prior's variance, by which what is left may fall below zero


@dataclass(frozen=True)
class OptimalInterpolation:
    """The analyses of cases that share their innovations' places, errors and images.

    ``departures`` (m, case) are their values less what is expected of them. A block takes the
    observations within ``radius_km`` of it; where these are more than ``limit``, the nearest to
    its centre: of every stream an equal share, and what one does not need goes to the others, so
    that a dense stream does not crowd out a sparse one. Covariances are summed in ``dtype``.
    """

    seen: Innovations
    departures: Tensor
    radius_km: float
    limit: int
    dtype: torch.dtype = torch.float32

    def analyse(self, block: Block, columns: list[Columns]) -> list[tuple[Tensor, Tensor]]:
        """Mean and variance (case, q, r) of each of the ``columns``, about the climatology.

        Raises SlamsError where they are not finite, or a variance is negative.
        """
        chosen = self._within(block)
        seen, count = self.seen, self.seen.images.shape[0]
        images = _about_mean(seen.images[:, chosen].to(self.dtype), 0)
        used, place = torch.unique(seen.place[chosen], return_inverse=True)
        places = seen.places[used]
        # The matrix that is inverted is small, and ill-conditioned where observations are good.
        between = taper(places, places, self.radius_km)[place][:, place]
        innovation = (images.T @ images).double() / (count - 1) * between
        innovation.diagonal().add_(seen.variance[chosen].double())
        factor, failed = torch.linalg.cholesky_ex(innovation)
        if failed:
            raise SlamsError(
                "optimal interpolation: the covariance of the innovations is not positive; look at "
                "the observations' errors, and at classical.oi.radii_km, of which none may exceed "
                "half the Earth's circumference"
            )
        whitened = torch.linalg.solve_triangular(
            factor, self.departures[chosen].double(), upper=False
        ).to(self.dtype)
        lower = factor.to(self.dtype)
        return [self._columns(one, images, places, place, lower, whitened) for one in columns]

    def _columns(
        self,
        columns: Columns,
        images: Tensor,
        places: Tensor,
        place: Tensor,
        lower: Tensor,
        whitened: Tensor,
    ) -> tuple[Tensor, Tensor]:
        states = _about_mean(columns.states.to(self.dtype), 2)
        count = states.shape[2]
        prior = (states**2).sum(2) / (count - 1)
        if not len(place):
            mean = prior.new_zeros((whitened.shape[1], *prior.shape))
            return mean, prior.expand_as(mean)
        reach = taper(columns.places, places, self.radius_km).to(self.dtype)[:, place]
        together = (states.flatten(0, 1) @ images).unflatten(0, prior.shape)
        together = together.div_(count - 1).mul_(reach[:, None])
        # Rows of B H' L'^-1, with L L' = H B H' + R.
        gained = torch.linalg.solve_triangular(
            lower.T, together.flatten(0, 1), upper=True, left=False
        )
        mean = (gained @ whitened).T.unflatten(1, prior.shape)
        left = prior - (gained**2).sum(1).view_as(prior)
        if not (torch.isfinite(mean).all() and (left >= -ROUNDING * prior).all()):
            raise SlamsError(
                "optimal interpolation: an analysis is not finite, or its variance is negative; "
                "look at the store's fields, and at classical.oi.radii_km, of which none may "
                "exceed half the Earth's circumference"
            )
        return mean, left.clamp_min(0.0).expand_as(mean)

    def _within(self, block: Block) -> Tensor:
        """The numbers (k,) of the observations that a block takes."""
        away = distances(block.centre, self.seen.places)[0][self.seen.place]
        near = torch.nonzero(away < self.radius_km + block.reach_km)[:, 0]
        if len(near) <= self.limit:
            return near
        near = near[torch.argsort(away[near], stable=True)]
        streams = self.seen.stream[near]
        counts = torch.bincount(streams).tolist()
        shares = fair_shares(counts, self.limit)
        taken = [near[streams == number][:share] for number, share in enumerate(shares)]
        return torch.cat(taken).sort().values


def fair_shares(counts: list[int], limit: int) -> list[int]:
    """How many of each of ``counts`` are taken, of ``limit`` in all.

    Equal shares; what one does not need goes to the others.
    """
    shares, left = [0] * len(counts), limit
    for position, number in enumerate(sorted(range(len(counts)), key=lambda n: counts[n])):
        shares[number] = min(counts[number], left // (len(counts) - position))
        left -= shares[number]
    return shares


def _about_mean(values: Tensor, dimension: int) -> Tensor:
    return values - values.mean(dimension, keepdim=True)
