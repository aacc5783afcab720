"""One stream's observations of one window, and their combination."""

import copy
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from slams.errors import SlamsError


class Operator(Protocol):
    """H: normalised fields (batch, step, level, latitude, longitude) to what is observed.

    One that is linear, or linear and a constant, says so by an attribute ``affine``; one that gives
    (batch, step, level, ...), by an attribute ``by_level``. One whose derivative is dear to apply
    may have a method ``tangent``: of the same value and first derivative as a call, but linear in
    what can be differentiated.
    """

    def __call__(self, x: Tensor) -> Tensor:
        """Predicted observations (batch, *shape)."""
        ...


class Observation:
    """Observations of one stream in one window.

    ``value`` has the shape the operator gives for one state, NaN where nothing was observed;
    ``variance`` is the observation error's variance, of a shape that broadcasts to it, in the
    units of ``value`` squared. ``times`` (step,) are those of the window. Where the operator
    itself predicts the error (imagery), ``variance`` is a function of the fields instead.
    ``mask``, of a shape that broadcasts to ``value``, is True where something was observed: what
    marks a missing value by another number than NaN needs one.

    A missing value is dropped before anything is computed: what stands in its place changes
    nothing. Raises SlamsError where there is no value at all, where one is infinite, where the
    variance of a value is not positive, or where the shapes do not agree.
    """

    def __init__(
        self,
        operator: Operator,
        value: Tensor | np.ndarray,
        variance: Tensor | np.ndarray | float | Callable[[Tensor], Tensor],
        times: np.ndarray,
        name: str = "background",
        mask: Tensor | np.ndarray | None = None,
    ) -> None:
        self.operator, self.times, self.name = operator, np.asarray(times), name
        # A copy: refused values are made missing later, in place.
        full = torch.as_tensor(value, dtype=torch.float32)
        full = full.clone(memory_format=torch.contiguous_format)
        self.full = full
        if not full.numel():
            raise SlamsError(
                f"stream {name}: observations of shape {tuple(full.shape)} hold no value; leave "
                "the stream out, or mark what is missing as NaN"
            )
        if mask is not None:
            full[~self._fitting(torch.as_tensor(mask, dtype=torch.bool), "a mask")] = torch.nan
        if torch.isinf(full).any():
            raise SlamsError(f"stream {name}: an observation is infinite; missing values are NaN")
        self.seen = torch.nonzero(torch.isfinite(full).flatten())[:, 0]
        self.value = full.flatten()[self.seen]
        self.extra: Tensor | float = 0.0
        self._predicted_variance = variance if callable(variance) else None
        self._variance = torch.zeros(0)
        if not callable(variance):
            given = torch.as_tensor(variance, dtype=torch.float32)
            given = self._fitting(given, "error variance").flatten()[self.seen]
            if not (torch.isfinite(given).all() and (given > 0).all()):
                raise SlamsError(
                    f"stream {name}: the observation error's variance must be positive and finite; "
                    "mend the noise, or the fit that it comes from"
                )
            self._variance = given

    def _fitting(self, given: Tensor, what: str) -> Tensor:
        """``given`` of the values' shape."""
        try:
            return given.expand(self.full.shape)
        except RuntimeError:
            raise SlamsError(
                f"stream {self.name}: {what} of shape {tuple(given.shape)} does not fit "
                f"observations of shape {tuple(self.full.shape)}"
            ) from None

    def __len__(self) -> int:
        return len(self.value)

    def __add__(self, other: "Observation | Observations") -> "Observations":
        return Observations([self]) + other

    def to(self, device: torch.device) -> "Observation":
        """Move to ``device``, the operator too where it can be moved."""
        for name in ("full", "seen", "value", "_variance"):
            setattr(self, name, getattr(self, name).to(device))
        if isinstance(self.extra, Tensor):
            self.extra = self.extra.to(device)
        move = getattr(self.operator, "to", None)
        if move is not None:
            move(device)
        return self

    def drop(self, refused: Tensor) -> None:
        """Treat the ``refused`` (n,) of the values seen as missing from now on."""
        self.full.view(-1)[self.seen[refused]] = torch.nan
        self.seen, self.value = self.seen[~refused], self.value[~refused]
        if self._predicted_variance is None:
            self._variance = self._variance[~refused]
        if isinstance(self.extra, Tensor):
            self.extra = self.extra[~refused]

    def predict(self, x: Tensor) -> Tensor:
        """H(x) (batch, n) at the n values seen, for fields ``x`` (batch, step, level, ...)."""
        return self._at_seen(self.operator(x))

    def tangent(self, x: Tensor) -> Tensor:
        """As :meth:`predict`, in a form whose first derivative in ``x`` is cheap to apply."""
        return self._at_seen(getattr(self.operator, "tangent", self.operator)(x))

    def _at_seen(self, predicted: Tensor) -> Tensor:
        if predicted.shape[1:] != self.full.shape:
            raise SlamsError(
                f"stream {self.name}: the operator gives {tuple(predicted.shape[1:])}, the "
                f"observations are {tuple(self.full.shape)}: levels, grid or steps differ"
            )
        return predicted.flatten(1)[:, self.seen]

    def variance(self, x: Tensor) -> Tensor:
        """Error variance (batch or 1, n), given the fields ``x`` the observations are of."""
        if self._predicted_variance is None:
            return (self._variance + self.extra)[None]
        return self._predicted_variance(x).detach().flatten(1)[:, self.seen] + self.extra

    def on_map(self, given: Tensor | float, elsewhere: float) -> Tensor:
        """``given`` (n,) where the values seen have their places, in the full shape."""
        full = torch.full_like(self.full, elsewhere)
        full.view(-1)[self.seen] = torch.as_tensor(given, dtype=full.dtype, device=full.device)
        return full

    def inflate(self, variance: Tensor) -> None:
        """Add ``variance``, broadcast to the full shape, to the error's variance."""
        self.extra = (
            self.extra + variance.to(self.full).expand(self.full.shape).flatten()[self.seen]
        )


class Observations:
    """A sum of streams over one window; ``a + b`` of single ones."""

    def __init__(self, streams: list[Observation]) -> None:
        if not streams:
            raise SlamsError("no observation stream was given")
        first = streams[0].times
        for stream in streams[1:]:
            if not np.array_equal(stream.times, first):
                raise SlamsError(
                    f"streams {streams[0].name} and {stream.name} are of different times"
                )
        self.streams = streams
        self.times = first

    def __iter__(self) -> Iterator[Observation]:
        return iter(self.streams)

    def __len__(self) -> int:
        return sum(map(len, self.streams))

    def __add__(self, other: "Observation | Observations") -> "Observations":
        more = [other] if isinstance(other, Observation) else other.streams
        return Observations([*self.streams, *more])

    def to(self, device: torch.device) -> "Observations":
        """Move every stream to ``device``."""
        for stream in self.streams:
            stream.to(device)
        return self

    def on(self, device: torch.device) -> "Observations":
        """These on ``device``: a copy, if moved, for operators may share a fitted network."""
        return self if self.value.device == device else copy.deepcopy(self).to(device)

    @property
    def value(self) -> Tensor:
        """All values seen (n,)."""
        return torch.cat([stream.value for stream in self.streams])

    def predict(self, x: Tensor) -> Tensor:
        """H(x) (batch, n) of all streams."""
        return torch.cat([stream.predict(x) for stream in self.streams], dim=1)

    def tangent(self, x: Tensor) -> Tensor:
        """As :meth:`predict`, in a form whose first derivative in ``x`` is cheap to apply."""
        return torch.cat([stream.tangent(x) for stream in self.streams], dim=1)

    def variance(self, x: Tensor) -> Tensor:
        """Error variances (batch, n) of all streams."""
        parts = [stream.variance(x).expand(len(x), -1) for stream in self.streams]
        return torch.cat(parts, dim=1)
