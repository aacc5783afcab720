"""Long trajectories composed of a prior's short windows.

What a prior's linear-Gaussian base knows (:mod:`slams.gaussian`) is carried over to the whole
trajectory at once. What its network adds, or all of a prior without a base, is composed: the score
of a long trajectory is put together from those of its overlapping windows (Rozet and Louppe 2023,
arXiv 2306.10574), and so is, by Tweedie's formula, its denoiser. The estimate of a step comes from
the windows that hold it. Their Algorithm 2 takes it from the one window in whose middle the step
stands; here all of them are averaged, with weights that fall with the square of the distance from
the middle. A composition misses what no window sees, the more the longer steps stay alike, and
therefore the base is not composed (docs/benchmarks.md).

Windows are taken through the network a few at a time, forwards and in every derivative, so that
its memory does not grow with the length of the trajectory. Each is computed again for a derivative
instead of being kept. The base takes whole trajectories, and the square of their steps.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from slams.errors import SlamsError
from slams.gaussian import GaussianBase
from slams.prior import StateSpace


@dataclass(frozen=True)
class Piece:
    """Some members and steps of a batch of trajectories, and what is done with them."""

    members: slice
    steps: slice
    function: Callable[[Tensor], Tensor]
    weights: Tensor | None = None  # (step,) of what comes out, else one

    def of(self, x: Tensor) -> Tensor:
        """The piece of ``x`` (batch, step, ...)."""
        return x[self.members, self.steps]

    def weighted(self, y: Tensor) -> Tensor:
        """What comes out, times the weights."""
        return y if self.weights is None else y * self.weights.to(y).view(-1, *[1] * (y.ndim - 2))


def _total(x: Tensor, pieces: list[Piece], parts: Iterable[Tensor]) -> Tensor:
    """The sum (batch, step, ...) of parts, each where its piece stands in ``x``."""
    total = torch.zeros(())
    for piece, part in zip(pieces, parts, strict=True):
        if not total.ndim:
            total = part.new_zeros(*x.shape[:2], *part.shape[2:])
        piece.of(total).add_(part)
    return total


class _InPieces(torch.autograd.Function):
    """The sum of the weighted functions of all pieces; no graph outlives its piece."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pieces: list[Piece]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.pieces = pieces
        return _total(x, pieces, (piece.weighted(piece.function(piece.of(x))) for piece in pieces))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return _Transposed.apply(gradients[0], x.detach(), ctx.pieces), None


class _Transposed(torch.autograd.Function):
    """v -> J' v, J the derivative of :class:`_InPieces` at x; its own derivative in v is J.

    There is none in x: moment matching takes the second moment as it is at x.
    """

    @staticmethod
    def forward(ctx: Any, v: Tensor, x: Tensor, pieces: list[Piece]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.pieces = pieces
        parts = (
            _pulled(piece.function, piece.of(x), piece.weighted(piece.of(v)))[0] for piece in pieces
        )
        return _total(x, pieces, parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,), (w,), pieces = ctx.saved_tensors, gradients, ctx.pieces
        parts = (
            piece.weighted(_pushed(piece.function, piece.of(x), piece.of(w))) for piece in pieces
        )
        return _total(x, pieces, parts), None, None


def _pulled(
    function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor, *, again: bool = False
) -> tuple[Tensor, Tensor]:
    """f'(x)' v, and the v it was computed with; ``again`` to differentiate it in that v."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        v = v.detach().requires_grad_(again)
        (pulled,) = torch.autograd.grad(function(x), x, v, create_graph=again)
    return pulled, v


def _pushed(function: Callable[[Tensor], Tensor], x: Tensor, w: Tensor) -> Tensor:
    """f'(x) w: the derivative, in the direction of w, of f'(x)' v in v."""
    with torch.no_grad():
        blank = torch.zeros_like(function(x))
    pulled, blank = _pulled(function, x, blank, again=True)
    return torch.autograd.grad(pulled, blank, w)[0]


class Composed:
    """A state space of ``steps`` steps over a prior of fewer (a :class:`~slams.prior.StateSpace`).

    The prior's ``base``, where it has one, is made as long. At most ``chunk`` windows go through
    the network at once; what comes out does not depend on it. The prior must decode every step by
    itself. Raises SlamsError where ``steps`` are fewer than the prior's, or ``chunk`` is none.
    """

    def __init__(self, prior: StateSpace, steps: int, chunk: int = 16) -> None:
        self.prior, self.steps, self.chunk = prior, steps, chunk
        self.length = prior.state_shape[0]
        if steps < self.length:
            raise SlamsError(f"{steps} steps are fewer than the prior's window of {self.length}")
        if chunk < 1:
            raise SlamsError(f"{chunk} windows at once are none: take at least 1")
        self._windows = [slice(n, n + self.length) for n in range(steps - self.length + 1)]
        base = getattr(prior, "base", None)
        self.base: GaussianBase | None = None if base is None else base.longer(steps)
        # What a window's base knows beyond that of all steps counts as the network's.
        self._of_window: GaussianBase | None = base
        if base is not None and steps > self.length:
            self._of_window = base.apart()
        self._shares = [self.shares(window) for window in self._windows]

    def shares(self, window: slice) -> Tensor:
        """What a window's estimates of its steps (step,) count for in the trajectory's."""
        total = torch.zeros(self.steps, dtype=torch.float64)
        for each in self._windows:
            total[each] += window_weights(self.length)
        return window_weights(self.length) / total[window]

    @property
    def state_shape(self) -> tuple[int, ...]:
        """(step, channel, latitude, longitude) of a trajectory."""
        return (self.steps, *self.prior.state_shape[1:])

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        """Estimate of the clean trajectory from ``x`` (batch, *state_shape) at ``sigma``.

        Every window is denoised at its own ``times``, so at its own season.
        """

        def learned(x: Tensor, times: np.ndarray) -> Tensor:
            clean = self.prior.denoise(x, sigma, times)
            if self._of_window is None:
                return clean
            return clean - self._of_window.scaled(x, sigma.to(x).expand(len(x)), root=False)

        pieces = [
            Piece(
                members,
                window,
                partial(learned, times=times[window]),
                share,
            )
            for window, share in zip(self._windows, self._shares, strict=True)
            for members in self._members(x, self.length)
        ]
        return cast(Tensor, _InPieces.apply(x, pieces + self._whole(x, sigma)))

    def known(self, x: Tensor, sigma: Tensor) -> Tensor:
        """What the linear-Gaussian base makes of ``x``; SlamsError where the prior has none."""
        if self.base is None:
            raise SlamsError(
                "sampler.method: gaussian needs a prior with a linear-Gaussian base: set modes of "
                "the prior above 0 and train again, or take method mmps"
            )
        return cast(Tensor, _InPieces.apply(x, self._whole(x, sigma)))

    def _whole(self, x: Tensor, sigma: Tensor) -> list[Piece]:
        """The base over all steps, as many members at once as have the steps of the windows."""
        if (base := self.base) is None:
            return []

        def known(x: Tensor) -> Tensor:
            return base.scaled(x, sigma.to(x).expand(len(x)), root=False)

        return [
            Piece(members, slice(0, self.steps), known) for members in self._members(x, self.steps)
        ]

    def decode(self, x: Tensor) -> Tensor:
        """Trajectories to normalised fields (batch, step, level, latitude, longitude)."""
        pieces = [
            Piece(members, slice(first, first + self.length), self.prior.decode)
            for first in range(0, self.steps, self.length)
            for members in self._members(x, self.length)
        ]
        return cast(Tensor, _InPieces.apply(x, pieces))

    def _members(self, x: Tensor, steps: int) -> list[slice]:
        """The members in parts: of ``steps`` steps each as many as a chunk of windows holds."""
        count = max(1, self.chunk * self.length // steps)
        return [slice(first, first + count) for first in range(0, len(x), count)]


def window_weights(length: int) -> Tensor:
    """Weights (length,) of a window's estimates of its steps: squares, largest in the middle."""
    step = torch.arange(length)
    return (1 + torch.minimum(step, length - 1 - step)).double() ** 2
