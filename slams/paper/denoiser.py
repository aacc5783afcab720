"""A denoiser whose network predicts the noise, as the paper's does, and its plain loss."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from slams.draws import Draws
from slams.errors import SlamsError
from slams.nets import WindowNetwork
from slams.paper import schedule
from slams.paper.nets import PaperUNet


class EpsDenoiser(WindowNetwork):
    """U-Net that predicts the noise of windows (batch, step, channel, latitude, longitude).

    It is asked as :class:`slams.prior.Denoiser` is, in variance-exploding coordinates, and
    turns them into the paper's: the network sees mu x and the time of :mod:`slams.paper.schedule`.
    Without ``context`` it is told neither latitude nor the day of the year; ``padding`` is that of
    :class:`slams.paper.nets.PaperUNet`.
    """

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
        padding: str = "sphere",
        context: bool = True,
    ) -> None:
        super().__init__(
            window,
            channels,
            rows,
            columns,
            width=width,
            blocks=blocks,
            embedding=embedding,
            longitude=longitude,
        )
        if width[0] < self.states:
            raise SlamsError(
                f"prior that predicts the noise: {width[0]} channels at the finest resolution do "
                f"not carry the noise of {window} steps of {channels} channels; give at least "
                f"{self.states} as the first of its width"
            )
        self.settings |= {"padding": padding, "context": context}
        self.context = context
        inputs = self.states + (self.context_channels if context else 0)
        self.net = PaperUNet(inputs, self.states, width, blocks, embedding, padding)

    def forward(self, x: Tensor, sigma: Tensor, season: Tensor) -> Tensor:
        """The clean estimate x - sigma e of ``x`` (batch, *state_shape).

        ``sigma`` and ``season``, the fraction of the year, are (batch,); a sigma below the
        schedule's least, eta, is taken for that by the network.
        """
        scale = schedule.mu_of_level(sigma).to(x).view(-1, 1, 1, 1, 1)
        clock = schedule.time_of_level(sigma).to(x)
        seen = self.with_context(season, scale * x) if self.context else (scale * x).flatten(1, 2)
        noise = self.net(seen, clock).float()
        return x - sigma.view(-1, 1, 1, 1, 1) * noise.unflatten(1, x.shape[1:3])


def eps_loss(model: nn.Module, x: Tensor, season: Tensor, draws: Draws) -> Tensor:
    """Mean square error of the predicted noise in windows ``x`` (share, step, channel, lat, lon).

    The time is uniform in [0, 1], no noise level weighs more than another (Rozet and Louppe 2023,
    arXiv 2306.10574).
    """
    clock = draws.few(lambda n, g: torch.rand(n, generator=g, dtype=torch.float64))
    level = (schedule.sigma(clock) / schedule.mu(clock)).float().to(x.device)
    noise = draws.normal(*x.shape[1:], device=x.device)
    spread = level.view(-1, 1, 1, 1, 1)
    noisy = x + spread * noise
    predicted = (noisy - model(noisy, level, season)) / spread
    return (predicted - noise).square().mean()
