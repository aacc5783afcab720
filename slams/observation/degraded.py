"""The degraded background: block means, every n-th cell, chosen cells or all, plus noise.

Operators act on normalised fields (batch, step, level, latitude, longitude); steps that were
not observed are NaN in the values, not absent from the shape.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slams.errors import SlamsError
from slams.observation.base import Observation, Operator
from slams.observation.checks import fits


@dataclass(frozen=True)
class Identity:
    """Every cell of every level."""

    affine: ClassVar[bool] = True
    by_level: ClassVar[bool] = True

    def __call__(self, x: Tensor) -> Tensor:
        """``x`` itself."""
        return x

    def positions(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Row and column, in cells of the full grid, of what is observed."""
        return np.arange(rows, dtype=float), np.arange(columns, dtype=float)


@dataclass(frozen=True)
class BlockMean:
    """Means over blocks of ``factor`` rows by ``factor`` columns."""

    affine: ClassVar[bool] = True
    by_level: ClassVar[bool] = True

    factor: int

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise SlamsError(f"block means of {self.factor} cells: a block has at least 1")

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, step, level, latitude / factor, longitude / factor)."""
        if x.shape[-2] % self.factor or x.shape[-1] % self.factor:
            raise SlamsError(
                f"block means of {self.factor} cells do not divide a grid of "
                f"{x.shape[-2]} x {x.shape[-1]}; change the coarse axis or grid.spacing"
            )
        return F.avg_pool2d(x.flatten(0, 1), self.factor).unflatten(0, x.shape[:2])

    def positions(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Row and column, in cells of the full grid, of the blocks' centres."""
        centre = (self.factor - 1) / 2
        return (
            np.arange(rows // self.factor) * self.factor + centre,
            np.arange(columns // self.factor) * self.factor + centre,
        )


@dataclass(frozen=True)
class EveryNth:
    """Every ``step``-th row and column, the first at ``offset`` (default: half a step in)."""

    affine: ClassVar[bool] = True
    by_level: ClassVar[bool] = True

    step: int
    offset: int | None = None

    def __post_init__(self) -> None:
        if self.step < 1 or self.first < 0:
            raise SlamsError(
                f"every {self.step}-th cell from {self.first}: the step must be at least 1, the "
                "offset 0 or more"
            )

    @property
    def first(self) -> int:
        """Index of the first row and column observed."""
        return self.step // 2 if self.offset is None else self.offset

    def __call__(self, x: Tensor) -> Tensor:
        """(batch, step, level, rows observed, columns observed)."""
        if self.step > x.shape[-2]:
            raise SlamsError(
                f"every {self.step}-th cell of a grid of {x.shape[-2]} rows is none; "
                "change the sparse axis or grid.spacing"
            )
        return x[..., self.first :: self.step, self.first :: self.step]

    def positions(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Row and column, in cells of the full grid, of what is observed."""
        return (
            np.arange(self.first, rows, self.step, dtype=float),
            np.arange(self.first, columns, self.step, dtype=float),
        )


class Masked(nn.Module):
    """Only the cells of a mask, of a field or of what another operator makes of it.

    ``seen`` is True where something is observed, of shape (latitude, longitude), the same for
    every level, or (level, latitude, longitude); the grid is that of what ``of`` gives (default:
    the field itself). Gives (batch, step, level, n) or (batch, step, n), with n cells seen in the
    order of the grid. Raises SlamsError where the mask sees nothing or does not fit the fields.
    """

    cells: Tensor

    def __init__(self, seen: np.ndarray | Tensor, of: Operator | None = None) -> None:
        super().__init__()
        mask = torch.as_tensor(seen, dtype=torch.bool)
        if mask.ndim not in (2, 3) or not mask.any():
            raise SlamsError(
                f"a mask of shape {tuple(mask.shape)} with {int(mask.sum())} cells seen: it must "
                "be of (latitude, longitude) or (level, latitude, longitude) and see something"
            )
        self.shape = tuple(mask.shape)
        self.of = Identity() if of is None else of
        self.affine = bool(getattr(self.of, "affine", False))
        self.register_buffer("cells", torch.nonzero(mask.flatten())[:, 0])

    def forward(self, x: Tensor) -> Tensor:
        """The cells seen, (batch, step, [level,] n)."""
        full = self.of(x)
        if tuple(full.shape[-len(self.shape) :]) != self.shape:
            raise SlamsError(
                f"a mask of shape {self.shape} does not fit fields of "
                f"{tuple(full.shape[-3:])} (level, latitude, longitude): make one of their grid"
            )
        return self.pick(full)

    def pick(self, full: Tensor) -> Tensor:
        """The cells seen of maps (..., level, latitude, longitude), which may be of one cell."""
        full = full.expand(*full.shape[: -len(self.shape)], *self.shape)
        return full.flatten(-len(self.shape))[..., self.cells]


def degrade(
    truth: np.ndarray,
    operator: Operator,
    times: np.ndarray,
    *,
    noise: float,
    every: int = 1,
    seed: int = 0,
) -> Observation:
    """Observe ``truth`` (step, level, latitude, longitude), normalised, with ``noise``.

    ``noise`` is the standard deviation of independent errors in normalised units; only every
    ``every``-th step is seen, from the first. The draws depend on ``seed`` alone. Raises
    SlamsError where the noise is not positive, and where the fields are not whole.
    """
    if not noise > 0:
        raise SlamsError(f"noise {noise}: the background's error must be positive")
    remedy = "give a whole window, one field for each of its times"
    fits(truth, (len(times), *truth.shape[1:]), "background", remedy)
    if not np.isfinite(truth).all():
        raise SlamsError(f"stream background: the fields have missing or infinite cells: {remedy}")
    exact = operator(torch.from_numpy(truth)[None])[0]
    draw = np.random.default_rng(seed).standard_normal(exact.shape).astype(np.float32)
    value = exact + noise * torch.from_numpy(draw)
    unseen = np.arange(len(truth)) % every != 0
    value[torch.from_numpy(unseen)] = float("nan")
    return Observation(operator, value, noise**2, times)
