"""The U-Net of the paper's network: linear residual paths from end to end, no normalisation.

A network that predicts the noise must carry it, white as it is, from its input to its output:
the finest resolution needs at least as many channels as a state has numbers in a cell, and a norm
before the last layer, as the U-Net of :mod:`slams.nets` has, would take the noise's size away.
Structure and sizes are those of the paper's public code; its padding, circular on all sides, is
there to be asked for.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slams.errors import SlamsError
from slams.nets import pad_sphere

PADDINGS = ("sphere", "circular")


def pad(x: Tensor, padding: str) -> Tensor:
    """``x`` (..., latitude, longitude) with one more cell on every side.

    As the sphere continues it, or circular, as the paper's: the poles meet.
    """
    return pad_sphere(x, 1) if padding == "sphere" else F.pad(x, (1, 1, 1, 1), mode="circular")


class PaddedConv2d(nn.Conv2d):
    """Convolution of 3 x 3 cells with either padding; of stride two it halves the grid."""

    def __init__(self, inputs: int, outputs: int, padding: str, stride: int = 1) -> None:
        super().__init__(inputs, outputs, 3, stride=stride)
        self.beyond = padding

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(pad(input, self.beyond))


class ModulatedBlock(nn.Module):
    """x plus two convolutions of x shifted by an embedding of the time."""

    def __init__(self, channels: int, embedding: int, padding: str) -> None:
        super().__init__()
        self.shift = nn.Linear(embedding, channels)
        self.layers = nn.Sequential(
            PaddedConv2d(channels, channels, padding),
            nn.SiLU(),
            PaddedConv2d(channels, channels, padding),
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return x + self.layers(x + self.shift(embedding)[..., None, None])


class TimeEmbedding(nn.Module):
    """A time (batch,) in [0, 1] to (batch, features): waves of pi to 16 pi, then two layers."""

    frequencies: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", math.pi * torch.arange(1, 17), persistent=False)
        self.layers = nn.Sequential(nn.Linear(32, 256), nn.SiLU(), nn.Linear(256, features))

    def forward(self, time: Tensor) -> Tensor:
        angle = time[:, None] * self.frequencies
        return self.layers(torch.cat([angle.cos(), angle.sin()], dim=1))


class PaperUNet(nn.Module):
    """U-Net conditioned on the time; ``width`` gives the channels at each resolution.

    ``blocks`` residual blocks at each resolution on the way down and as many on the way up; each
    resolution halves rows and columns, and what leaves one on the way down is added on the way
    up. ``padding`` is one of `PADDINGS`; another raises SlamsError.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: Sequence[int],
        blocks: int,
        embedding: int,
        padding: str = "sphere",
    ) -> None:
        super().__init__()
        if padding not in PADDINGS:
            raise SlamsError(f"padding {padding!r} is not {' or '.join(PADDINGS)}")

        def convolution(inputs: int, outputs: int, stride: int = 1) -> PaddedConv2d:
            return PaddedConv2d(inputs, outputs, padding, stride)

        def stage(channels: int) -> nn.ModuleList:
            return nn.ModuleList(
                ModulatedBlock(channels, embedding, padding) for _ in range(blocks)
            )

        self.embed = TimeEmbedding(embedding)
        self.enter = convolution(inputs, width[0])
        self.down = nn.ModuleList(stage(channels) for channels in width)
        self.coarsen = nn.ModuleList(convolution(a, b, 2) for a, b in pairwise(width))
        self.up = nn.ModuleList(stage(channels) for channels in reversed(width))
        self.refine = nn.ModuleList(convolution(b, a) for a, b in reversed([*pairwise(width)]))
        self.leave = convolution(width[0], outputs)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """``x`` (batch, inputs, latitude, longitude), ``time`` (batch,)."""
        embedding = self.embed(time)
        h = self.enter(x)
        skips: list[Tensor] = []
        for number, stage in enumerate(self.down):
            if number:
                skips.append(h)
                h = self.coarsen[number - 1](h)
            for block in cast(nn.ModuleList, stage):
                h = block(h, embedding)
        for number, stage in enumerate(self.up):
            if number:
                h = F.interpolate(h, scale_factor=2.0, mode="nearest")
                h = self.refine[number - 1](h) + skips.pop()
            for block in cast(nn.ModuleList, stage):
                h = block(h, embedding)
        return self.leave(h)
