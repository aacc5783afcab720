"""The paper's autoencoder: five convolutions that halve the levels, and their mirror.

It keeps the grid, pads the fields with zeros on all sides (poles and date line are edges), and
its latents are neither bounded nor standardised: the noise of the schedule and of an observation
means whatever the latents' scale makes of it. All three are the paper's, kept to be measured.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from slams import weights
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
    (the public code of arXiv 2404.06665). For ten levels it has 14,695 parameters. ``inputs``
    names channels that the encoder takes beside the fields; the decoder gives the fields alone.
    """

    input_mean: Tensor
    input_deviation: Tensor

    def __init__(self, levels: int, rows: int, columns: int, inputs: Sequence[str] = ()) -> None:
        super().__init__()
        self.inputs = tuple(inputs)
        self.settings: dict[str, Any] = {
            "levels": levels,
            "rows": rows,
            "columns": columns,
            "inputs": list(inputs),
        }
        sizes = taper(levels)
        self.encoder = _layers(nn.Conv2d, [levels + len(self.inputs), *sizes])
        self.decoder = _layers(nn.ConvTranspose2d, [*sizes[::-1], levels])
        kept = bool(self.inputs)
        one = torch.ones(len(self.inputs), 1, 1)
        self.register_buffer("input_mean", 0 * one, persistent=kept)
        self.register_buffer("input_deviation", one, persistent=kept)

    def normalise_inputs(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Set the mean and standard deviation (channel,) by which the inputs are normalised."""
        self.input_mean.copy_(torch.from_numpy(mean).float()[:, None, None])
        self.input_deviation.copy_(torch.from_numpy(deviation).float()[:, None, None])

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channel, latitude, longitude) of a latent field."""
        s = self.settings
        return taper(s["levels"])[-1], s["rows"], s["columns"]

    def raw_latents(self, x: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Latents of fields (batch, level, latitude, longitude); ``inputs`` as in :meth:`encode`.

        Raises SlamsError where they are not what the encoder was made for.
        """
        if not self.inputs and inputs is None:
            return self.encoder(x)
        expected = (len(x), len(self.inputs), *x.shape[-2:])
        if inputs is None or not self.inputs or tuple(inputs.shape) != expected:
            given = "none" if inputs is None else str(tuple(inputs.shape))
            raise SlamsError(
                f"the paper's autoencoder takes {', '.join(self.inputs) or 'nothing'} beside the "
                f"temperature: inputs of {expected} (field, channel, latitude, longitude), and "
                f"was given {given}"
            )
        known = (torch.nan_to_num(inputs, nan=0.0) - self.input_mean) / self.input_deviation
        return self.encoder(torch.cat([x, known], dim=1))

    def encode(self, x: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Fields (..., level, latitude, longitude) to latents (..., channel, ...), as they come.

        ``inputs`` (..., channel, latitude, longitude) are what the encoder takes beside them, in
        the units of :mod:`slams.channels`; what is NaN becomes zero there.
        """
        beside = None if inputs is None else inputs.reshape(-1, *inputs.shape[-3:])
        flat = self.raw_latents(x.reshape(-1, *x.shape[-3:]), beside).float()
        return flat.reshape(*x.shape[:-3], *flat.shape[1:])

    def decode(self, z: Tensor) -> Tensor:
        """Latents (..., channel, latitude, longitude) to fields."""
        flat = self.decoder(z.reshape(-1, *z.shape[-3:])).float()
        return flat.reshape(*z.shape[:-3], *flat.shape[1:])

    def forward(self, x: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Reconstruction of ``x`` (batch, level, latitude, longitude)."""
        return self.decoder(self.raw_latents(x, inputs))

    def save(self, path: Path, **extra: Any) -> None:
        """Write settings and weights to ``path``, which :func:`load_autoencoder` reads."""
        state = {"kind": "paper", "settings": self.settings, "weights": self.state_dict()}
        weights.save({**state, **extra}, path)


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
