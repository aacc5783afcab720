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

from dataclasses import dataclass, field

import torch
from torch import Tensor

from slams.classical.blocks import Block, Columns
from slams.classical.innovations import Innovations
from slams.errors import SlamsError
from slams.tapers import distances, taper

ROUNDING = 1e-3  # of the prior's variance, by which what is left may fall below zero
TOGETHER = 8  # times as many as a block takes: so few observations have one covariance for all
LARGEST = 16384  # and no more than so many, whose covariance takes 1 GB
CELLS = 16  # of a block, over which the taper is averaged for that
REMEDY = (
    "look at the store's fields, at the observations' errors, and at classical.oi.radii_km, of "
    "which none may exceed half the Earth's circumference"
)


@dataclass(frozen=True)
class _Gain:
    """What some observations say, whatever is analysed.

    ``images`` (k, n) about their mean, ``place`` (k,) among ``places`` (p, 3), ``lower`` the factor
    L of L L' = H B H' + R, and ``whitened`` (k, case) L^-1 d.
    """

    images: Tensor
    places: Tensor
    place: Tensor
    lower: Tensor
    whitened: Tensor


@dataclass(frozen=True)
class OptimalInterpolation:
    """The analyses of cases that share their innovations' places, errors and images.

    ``departures`` (m, case) are their values less what is expected of them. A block takes the
    observations within ``radius_km`` of it; where these are more than ``limit``, those that by
    themselves take most off the variance of its states (:meth:`_worth`), so that neither what is
    imprecise nor what is far crowds out what is neither. Covariances are summed in the
    images' type.
    """

    seen: Innovations
    departures: Tensor
    radius_km: float
    limit: int
    _known: dict[bytes, "_Gain"] = field(default_factory=dict, repr=False)

    def analyse(self, block: Block, columns: list[Columns]) -> list[tuple[Tensor, Tensor]]:
        """Mean and variance (case, q, r) of each of the ``columns``, about the climatology.

        Raises SlamsError where they are not finite, or a variance is negative.
        """
        gain = self._gain(self._within(block, columns[0]))
        return [self._columns(one, gain) for one in columns]

    def _gain(self, chosen: Tensor) -> "_Gain":
        """Of the observations ``chosen`` (k,); neighbouring blocks may choose the same."""
        key = chosen.cpu().numpy().tobytes()
        if key not in self._known:
            self._known.clear()
            self._known[key] = self._new_gain(chosen)
        return self._known[key]

    def _new_gain(self, chosen: Tensor) -> "_Gain":
        seen = self.seen
        used, place = torch.unique(seen.place[chosen], return_inverse=True)
        places = seen.places[used]
        images = seen.about_mean.index_select(0, chosen)
        if len(seen.place) <= min(TOGETHER * self.limit, LARGEST):
            covariance = seen.covariance.index_select(0, chosen).index_select(1, chosen)
        else:
            covariance = images @ images.T / (images.shape[1] - 1)
        # The matrix that is inverted is small, and ill-conditioned where observations are good.
        innovation = covariance.double()
        near = taper(places, places, self.radius_km)
        innovation *= near.index_select(0, place).index_select(1, place)
        innovation.diagonal().add_(seen.variance[chosen].double())
        factor, failed = torch.linalg.cholesky_ex(innovation)
        if failed:
            raise SlamsError(f"optimal interpolation: no covariance of innovations; {REMEDY}")
        departures = self.departures[chosen].double()
        whitened = torch.linalg.solve_triangular(factor, departures, upper=False)
        return _Gain(images, places, place, factor.to(images), whitened.to(images))

    def _columns(self, columns: Columns, gain: "_Gain") -> tuple[Tensor, Tensor]:
        states = columns.states.to(gain.images)
        states = states - states.mean(2, keepdim=True)
        count = states.shape[2]
        prior = _squares(states, 2) / (count - 1)
        reach = taper(columns.places, gain.places, self.radius_km).to(states)
        reach = reach.index_select(1, gain.place)
        together = (states.flatten(0, 1) @ gain.images.T).unflatten(0, prior.shape)
        together = together.div_(count - 1).mul_(reach[:, None]).flatten(0, 1)
        # Rows of B H' L'^-1.
        gained = torch.linalg.solve_triangular(gain.lower.T, together, upper=True, left=False)
        mean = (gained @ gain.whitened).T.unflatten(1, prior.shape)
        left = prior - _squares(gained, 1).view_as(prior)
        if not (torch.isfinite(mean).all() and (left >= -ROUNDING * prior).all()):
            raise SlamsError(
                "optimal interpolation: an analysis is not finite, or its variance is negative; "
                f"{REMEDY}"
            )
        return mean, left.clamp_min(0.0).expand_as(mean)

    def _within(self, block: Block, cells: Columns) -> Tensor:
        """The numbers (k,) of the observations that a block takes, whose ``cells`` are analysed."""
        away = distances(block.centre.to(self.seen.places), self.seen.places)[0]
        near = torch.nonzero((away < self.radius_km + block.reach_km)[self.seen.place])[:, 0]
        if len(near) <= self.limit:
            return near
        return near[torch.topk(self._worth(near, cells), self.limit).indices].sort().values

    def _worth(self, near: Tensor, cells: Columns) -> Tensor:
        """What each of ``near`` observations (k,) alone takes off the variance of the ``cells``.

        That is |cov(states, H x)|^2 / (var(H x) + var(e)), tapered. What several say in common
        counts for each; to choose one after the other by what is new was no better.
        """
        seen = self.seen
        leading = cells.leading.to(seen.few)
        common = (seen.few @ leading).square().sum(1)[near] / len(leading)
        some = cells.places[:: max(1, len(cells.places) // CELLS)]
        reach = taper(some, seen.places, self.radius_km).square().mean(0)
        reach = reach[seen.place[near]].to(common)
        return reach * common / (seen.signal[near] + seen.variance[near].to(common))


def _squares(values: Tensor, dim: int) -> Tensor:
    """The sum of the squares along a dimension, without a copy of all of them."""
    return torch.linalg.vector_norm(values, dim=dim).square()
