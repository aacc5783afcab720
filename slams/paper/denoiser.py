"""A denoiser whose network predicts the noise, as the paper's does, and its plain loss."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from slams.errors import SlamsError
from slams.nets import position_maps
from slams.paper import schedule
from slams.paper.nets import PaperUNet


class EpsDenoiser(nn.Module):
    """U-Net that predicts the noise of windows (batch, step, channel, latitude, longitude).

    It is asked as :class:`slams.prior.Denoiser` is, in variance-exploding coordinates, and
    turns them into the paper's: the network sees mu x and the time of :mod:`slams.paper.schedule`.
    Beside the window it sees where it is (``longitude``: also in longitude) and the day of the
    year of the window's first step.
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
        blocks: int = 3,
        embedding: int = 64,
        longitude: bool = True,
    ) -> None:
        super().__init__()
        coarsest = 2 ** (len(width) - 1)
        if rows % coarsest or columns % coarsest:
            raise SlamsError(
                f"prior that predicts the noise: {len(width)} widths halve the state's {rows} x "
                f"{columns} cells {len(width) - 1} times, which does not come out even; use fewer "
                "widths or another grid.spacing"
            )
        if width[0] < window * channels:
            raise SlamsError(
                f"prior that predicts the noise: {width[0]} channels at the finest resolution do "
                f"not carry the noise of {window} steps of {channels} channels; give at least "
                f"{window * channels} as the first of its width"
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
        states = window * channels
        self.net = PaperUNet(states + len(maps) + 2, states, width, blocks, embedding)

    @property
    def state_shape(self) -> tuple[int, int, int, int]:
        """(step, channel, latitude, longitude)."""
        s = self.settings
        return s["window"], s["channels"], s["rows"], s["columns"]

    def forward(self, x: Tensor, sigma: Tensor, season: Tensor) -> Tensor:
        """The clean estimate x - sigma e of ``x`` (batch, *state_shape).

        ``sigma`` and ``season``, the fraction of the year, are (batch,); a sigma below the
        schedule's least, eta, is taken for that by the network.
        """
        flat = x.flatten(1, 2)
        scale = schedule.mu_of_level(sigma).to(flat).view(-1, 1, 1, 1)
        clock = schedule.time_of_level(sigma).to(flat)
        angle = 2 * math.pi * season.view(-1, 1, 1, 1)
        ones = torch.ones_like(flat[:, :1])
        context = [
            self.position.expand(len(x), -1, -1, -1),
            angle.cos() * ones,
            angle.sin() * ones,
        ]
        inputs = torch.cat([scale * flat, *context], dim=1)
        noise = self.net(inputs, clock).float()
        return (flat - sigma.view(-1, 1, 1, 1) * noise).unflatten(1, x.shape[1:3])


def eps_loss(model: nn.Module, x: Tensor, season: Tensor, generator: torch.Generator) -> Tensor:
    """Mean square error of the predicted noise in windows ``x`` (batch, step, channel, lat, lon).

    The time is uniform in [0, 1], no noise level weighs more than another (Rozet and Louppe 2023,
    arXiv 2306.10574).
    """
    clock = torch.rand(len(x), generator=generator, dtype=torch.float64)
    level = (schedule.sigma(clock) / schedule.mu(clock)).float().to(x.device)
    noise = torch.randn(x.shape, generator=generator).to(x.device)
    spread = level.view(-1, 1, 1, 1, 1)
    noisy = x + spread * noise
    predicted = (noisy - model(noisy, level, season)) / spread
    return (predicted - noise).square().mean()
