"""The paper's autoencoder: five convolutions that halve the levels, and their mirror.

It keeps the grid, pads the fields with zeros on all sides (poles and date line are edges), and
its latents are neither bounded nor standardised: the noise of the schedule and of an observation
means whatever the latents' scale makes of it. All three are the paper's, kept to be measured.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from slams.autoencoder import Autoencoder
from slams.errors import SlamsError

LAYERS, KERNEL = 5, 5


def taper(levels: int) -> list[int]:
    """Channels after each of the five layers: evenly from ``levels`` to half of them.

    For the paper's ten levels 9, 8, 7, 6, 5.
    """
    if levels < 2:
        raise SlamsError(
            f"the paper's autoencoder halves the levels, and there is {levels}: give two or more "
            "in the key levels"
        )
    return [int(n) for n in np.linspace(levels, levels // 2, LAYERS + 1).round()[1:]]


class PaperAutoencoder(nn.Module):
    """Fields (batch, level, latitude, longitude) to latents (batch, level / 2, ...) and back.

    Between the layers batch normalisation and ReLU; the last layer of either side has neither
    (the public code of arXiv 2404.06665). For ten levels it has 14,695 parameters.
    """

    def __init__(self, levels: int, rows: int, columns: int) -> None:
        super().__init__()
        self.settings = {"levels": levels, "rows": rows, "columns": columns}
        sizes = [levels, *taper(levels)]
        self.encoder = _layers(nn.Conv2d, sizes)
        self.decoder = _layers(nn.ConvTranspose2d, sizes[::-1])

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channel, latitude, longitude) of a latent field."""
        s = self.settings
        return taper(s["levels"])[-1], s["rows"], s["columns"]

    def raw_latents(self, x: Tensor) -> Tensor:
        """Latents of fields (batch, level, latitude, longitude)."""
        return self.encoder(x)

    def encode(self, x: Tensor) -> Tensor:
        """Fields (..., level, latitude, longitude) to latents (..., channel, ...), as they come."""
        flat = self.raw_latents(x.reshape(-1, *x.shape[-3:])).float()
        return flat.reshape(*x.shape[:-3], *flat.shape[1:])

    def decode(self, z: Tensor) -> Tensor:
        """Latents (..., channel, latitude, longitude) to fields."""
        flat = self.decoder(z.reshape(-1, *z.shape[-3:])).float()
        return flat.reshape(*z.shape[:-3], *flat.shape[1:])

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction of ``x`` (batch, level, latitude, longitude)."""
        return self.decoder(self.encoder(x))

    def save(self, path: Path, **extra: Any) -> None:
        """Write settings and weights to ``path``, which :func:`load_autoencoder` reads."""
        state = {"kind": "paper", "settings": self.settings, "weights": self.state_dict()}
        torch.save({**state, **extra}, path)


def _layers(convolution: Any, sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        if layers:
            layers += [nn.BatchNorm2d(inputs), nn.ReLU()]
        layers.append(convolution(inputs, outputs, KERNEL, padding=KERNEL // 2))
    return nn.Sequential(*layers)


def load_autoencoder(path: Path | str) -> Autoencoder | PaperAutoencoder:
    """Read a file written by the ``save`` of either autoencoder; the file says whose it is."""
    state = cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
    if state.get("kind") != "paper":
        return Autoencoder.load(Path(path))
    model = PaperAutoencoder(**state["settings"])
    model.load_state_dict(state["weights"])
    return model.eval()
