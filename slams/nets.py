"""Convolutions that know the sphere, and the residual U-Net made of them.

Tensors are (batch, channel, latitude, longitude), rows from north to south, cells centred.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slams.errors import SlamsError

Linear = Callable[[Tensor, int], Tensor]


class _WithAdjoint(torch.autograd.Function):
    """A linear function of a field and a width, whose derivative is the ``adjoint`` given.

    Automatic differentiation of the padding would fill a field with zeros for each slice that is
    taken of it: a seventh of the time of guidance through a decoder (docs/benchmarks.md).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, width: int, function: Linear, adjoint: Linear) -> Tensor:
        ctx.rest = width, adjoint, function
        return function(x, width)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return _WithAdjoint.apply(*gradients, *ctx.rest), None, None, None


def _padded(x: Tensor, width: int) -> Tensor:
    rows, columns = x.shape[-2:]
    half = columns // 2
    out = x.new_empty(*x.shape[:-2], rows + 2 * width, columns + 2 * width)
    inside = out[..., width:-width]
    inside[..., width:-width, :] = x
    for beyond, edge in (
        (slice(None, width), x[..., :width, :]),
        (slice(-width, None), x[..., -width:, :]),
    ):
        over = edge.flip(-2)
        inside[..., beyond, :half] = over[..., half:]
        inside[..., beyond, half:] = over[..., :half]
    out[..., :width] = inside[..., -width:]
    out[..., -width:] = inside[..., :width]
    return out


def _folded(x: Tensor, width: int) -> Tensor:
    """The adjoint of the padding: what stands beyond an edge is added to the cell it is of."""
    half = (x.shape[-1] - 2 * width) // 2
    inside = x[..., width:-width].clone()
    inside[..., -width:] += x[..., :width]
    inside[..., :width] += x[..., -width:]
    out = inside[..., width:-width, :].contiguous()
    for edge, beyond in (
        (out[..., :width, :], inside[..., :width, :]),
        (out[..., -width:, :], inside[..., -width:, :]),
    ):
        over = beyond.flip(-2)
        edge[..., half:] += over[..., :half]
        edge[..., :half] += over[..., half:]
    return out


def pad_sphere(x: Tensor, width: int) -> Tensor:
    """Pad a global field by ``width`` cells on every side, as the sphere continues it.

    Longitude is circular. Over a pole the rows come back reflected and turned by half a circle:
    the northern neighbour of the first row at longitude L is that same row at L + 180 degrees.
    ``x`` (..., latitude, longitude), an even number of longitudes and at least ``width`` of either.
    """
    return cast(Tensor, _WithAdjoint.apply(x, width, _padded, _folded)) if width else x


class SphereConv2d(nn.Conv2d):
    """Convolution with odd kernel size and the padding of :func:`pad_sphere`; size is kept."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int = 3) -> None:
        super().__init__(inputs, outputs, kernel_size)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(pad_sphere(input, self.kernel_size[0] // 2))


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with eight groups, or four where there are few channels."""
    return nn.GroupNorm(math.gcd(channels, 8 if channels >= 32 else 4), channels)


class ResidualBlock(nn.Module):
    """Two convolutions beside the identity; an embedding shifts and scales between them."""

    def __init__(self, inputs: int, outputs: int, embedding: int = 0) -> None:
        super().__init__()
        self.first = nn.Sequential(group_norm(inputs), nn.SiLU(), SphereConv2d(inputs, outputs))
        self.norm = group_norm(outputs)
        self.modulation = nn.Linear(embedding, 2 * outputs) if embedding else None
        last = SphereConv2d(outputs, outputs)
        self.second = nn.Sequential(nn.SiLU(), last)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        # A block that starts as the identity trains faster and never explodes at the start.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(cast(Tensor, last.bias))

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        h = self.norm(self.first(x))
        if self.modulation is not None:
            scale, shift = self.modulation(embedding)[..., None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return self.skip(x) + self.second(h)


class FourierEmbedding(nn.Module):
    """A scalar (batch,) to (batch, features): waves of geometric frequency, then two layers."""

    frequencies: Tensor

    def __init__(self, features: int, highest: float = 8.0) -> None:
        super().__init__()
        frequencies = torch.logspace(-1, math.log2(highest), features // 2, base=2.0)
        self.register_buffer("frequencies", frequencies)
        self.layers = nn.Sequential(
            nn.Linear(2 * (features // 2), features), nn.SiLU(), nn.Linear(features, features)
        )

    def forward(self, scalar: Tensor) -> Tensor:
        angle = scalar[:, None] * self.frequencies
        return self.layers(torch.cat([angle.cos(), angle.sin()], dim=1))


class UNet(nn.Module):
    """Residual U-Net on the sphere, conditioned on a scalar (the noise level).

    ``width`` gives the channels at each resolution, the finest first; each coarser one has half
    the rows and columns, so both must be divisible by 2 ** (len(width) - 1).
    """

    def __init__(
        self, inputs: int, outputs: int, width: Sequence[int], blocks: int = 2, embedding: int = 64
    ) -> None:
        super().__init__()
        self.embed = FourierEmbedding(embedding)
        self.enter = SphereConv2d(inputs, width[0])
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        previous = width[0]
        for channels in width:
            self.down.append(self._stage(previous, channels, blocks, embedding))
            previous = channels
        for channels in reversed(width[:-1]):
            self.up.append(self._stage(previous + channels, channels, blocks, embedding))
            previous = channels
        last = SphereConv2d(previous, outputs)
        self.leave = nn.Sequential(group_norm(previous), nn.SiLU(), last)
        # Before it learns the network adds nothing to what is known without it.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(cast(Tensor, last.bias))

    @staticmethod
    def _stage(inputs: int, outputs: int, blocks: int, embedding: int) -> nn.ModuleList:
        sizes = [inputs] + [outputs] * blocks
        return nn.ModuleList(ResidualBlock(a, b, embedding) for a, b in pairwise(sizes))

    def forward(self, x: Tensor, scalar: Tensor) -> Tensor:
        """``x`` (batch, inputs, latitude, longitude), ``scalar`` (batch,)."""
        embedding = F.silu(self.embed(scalar))
        h = self.enter(x)
        skips: list[Tensor] = []
        for number, stage in enumerate(self.down):
            if number:
                skips.append(h)
                h = F.avg_pool2d(h, 2)
            for block in cast(nn.ModuleList, stage):
                h = block(h, embedding)
        for stage in self.up:
            h = F.interpolate(h, scale_factor=2.0, mode="nearest")
            h = torch.cat([h, skips.pop()], dim=1)
            for block in cast(nn.ModuleList, stage):
                h = block(h, embedding)
        return self.leave(h)


def position_maps(rows: int, columns: int, *, longitude: bool) -> Tensor:
    """Maps (channel, latitude, longitude) that tell a network where on the sphere it is.

    sin and cos of latitude; with ``longitude`` also the two horizontal Cartesian coordinates,
    which a network trained on fields rolled in longitude must not see.
    """
    latitude = math.pi / 2 - (torch.arange(rows) + 0.5) * math.pi / rows
    angle = (torch.arange(columns) + 0.5) * 2 * math.pi / columns
    one = torch.ones(columns)
    maps = [latitude.sin()[:, None] * one, latitude.cos()[:, None] * one]
    if longitude:
        maps += [latitude.cos()[:, None] * angle.cos(), latitude.cos()[:, None] * angle.sin()]
    return torch.stack(maps).float()


class WindowNetwork(nn.Module):
    """What every network over windows (batch, step, channel, latitude, longitude) has in common.

    ``settings`` are the arguments that make it again. Beside the window such a network sees where
    it is (``longitude``: also in longitude) and the day of the year of the window's first step.
    Raises SlamsError where the state's cells cannot be halved as often as ``width`` asks for.
    """

    position: Tensor

    def __init__(
        self,
        window: int,
        channels: int,
        rows: int,
        columns: int,
        *,
        width: Sequence[int],
        blocks: int,
        embedding: int,
        longitude: bool,
    ) -> None:
        super().__init__()
        coarsest = 2 ** (len(width) - 1)
        if rows % coarsest or columns % coarsest:
            raise SlamsError(
                f"prior: {len(width)} widths halve the state's {rows} x {columns} cells "
                f"{len(width) - 1} times, which does not come out even; use fewer widths or "
                "another grid.spacing"
            )
        self.settings: dict[str, Any] = {
            "window": window,
            "channels": channels,
            "rows": rows,
            "columns": columns,
            "width": list(width),
            "blocks": blocks,
            "embedding": embedding,
            "longitude": longitude,
        }
        maps = position_maps(rows, columns, longitude=longitude)
        self.register_buffer("position", maps, persistent=False)
        self.states = window * channels
        self.context_channels = len(maps) + 2

    @property
    def state_shape(self) -> tuple[int, int, int, int]:
        """(step, channel, latitude, longitude)."""
        s = self.settings
        return s["window"], s["channels"], s["rows"], s["columns"]

    def with_context(self, season: Tensor, *states: Tensor) -> Tensor:
        """The network's input: windows flattened to channels, then position and season.

        ``season`` (batch,) is the fraction of the year.
        """
        flat = [state.flatten(1, 2) for state in states]
        angle = 2 * math.pi * season.view(-1, 1, 1, 1)
        ones = torch.ones_like(flat[0][:, :1])
        position = self.position.expand(len(ones), -1, -1, -1)
        return torch.cat([*flat, position, angle.cos() * ones, angle.sin() * ones], dim=1)
