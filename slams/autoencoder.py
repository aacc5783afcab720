"""The autoencoder: normalised fields to latents of fewer numbers, and back.

It works on single fields (window 1). Latents are bounded softly, and standardised per channel
with statistics of the training period, so that the diffusion model sees numbers of order one.
A little noise on the latents in training makes the decoder smooth, which guided sampling needs.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional as F

from slams import weights
from slams.errors import SlamsError
from slams.nets import ResidualBlock, SphereConv2d, position_maps
from slams.store import Store, StoreWriter

BOUND = 5.0  # latents before standardisation stay within this
LATENT_PENALTY = 1e-3  # keeps the latents' variance near one, away from the bound
# Go through a network together: so many fields, and of a fine grid fewer, so that a layer of 64
# channels takes a gigabyte at most.
FIELDS_AT_ONCE, CELLS_AT_ONCE = 64, 1 << 22
# Fields (batch, level, ...) and their times (batch,) to latents.
Encode = Callable[[Tensor, np.ndarray], Tensor]


class Coder(Protocol):
    """What leads from fields to latents and back: :class:`Autoencoder`, or the paper's."""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channel, latitude, longitude) of a latent field."""
        ...

    def encode(self, x: Tensor) -> Tensor:
        """Fields (..., level, latitude, longitude) to latents (..., channel, ...)."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Latents (..., channel, latitude, longitude) to fields."""
        ...


class Autoencoder(nn.Module):
    """Fields (batch, level, latitude, longitude) to latents (batch, latent_channels, ...).

    ``downsample`` divides rows and columns of the latents; it is a power of two. ``depth``
    counts residual blocks on either side.
    """

    position: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        levels: int,
        rows: int,
        columns: int,
        *,
        latent_channels: int,
        width: int = 32,
        depth: int = 1,
        downsample: int = 2,
    ) -> None:
        super().__init__()
        if downsample < 1 or downsample & (downsample - 1) or rows % downsample:
            raise SlamsError(
                f"autoencoder.downsample: {downsample} must be a power of two that divides "
                f"the {rows} rows of the grid"
            )
        self.settings = {
            "levels": levels,
            "rows": rows,
            "columns": columns,
            "latent_channels": latent_channels,
            "width": width,
            "depth": depth,
            "downsample": downsample,
        }
        self.factor = downsample
        fine = position_maps(rows, columns, longitude=False)
        self.register_buffer("position", fine, persistent=False)
        self.encoder = nn.Sequential(
            SphereConv2d(levels + len(fine), width),
            *[ResidualBlock(width, width) for _ in range(depth)],
            nn.PixelUnshuffle(downsample),
            SphereConv2d(width * downsample**2, latent_channels),
        )
        self.decoder = nn.Sequential(
            SphereConv2d(latent_channels, width * downsample**2),
            nn.PixelShuffle(downsample),
            *[ResidualBlock(width, width) for _ in range(depth)],
            nn.SiLU(),
            SphereConv2d(width, levels),
        )
        self.register_buffer("mean", torch.zeros(latent_channels, 1, 1))
        self.register_buffer("deviation", torch.ones(latent_channels, 1, 1))

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channel, latitude, longitude) of a latent field."""
        rows, columns = self.settings["rows"], self.settings["columns"]
        return (
            self.settings["latent_channels"],
            rows // self.factor,
            columns // self.factor,
        )

    def raw_latents(self, x: Tensor) -> Tensor:
        """Bounded latents before they are standardised."""
        position = self.position.expand(len(x), -1, -1, -1)
        raw = self.encoder(torch.cat([x, position], dim=1))
        return BOUND * torch.tanh(raw / BOUND)

    def encode(self, x: Tensor) -> Tensor:
        """Fields (..., level, latitude, longitude) to standardised latents (..., channel, ...)."""
        flat = self.raw_latents(x.reshape(-1, *x.shape[-3:])).float()
        return ((flat - self.mean) / self.deviation).reshape(*x.shape[:-3], *flat.shape[1:])

    def decode(self, z: Tensor) -> Tensor:
        """Standardised latents (..., channel, latitude, longitude) to fields."""
        flat = self.decoder(z.reshape(-1, *z.shape[-3:]) * self.deviation + self.mean).float()
        return flat.reshape(*z.shape[:-3], *flat.shape[1:])

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Reconstruction of ``x`` and its raw latents, with ``noise`` added to the latents."""
        raw = self.raw_latents(x)
        return self.decoder(raw if noise is None else raw + noise), raw

    def standardise(self, store: Store) -> None:
        """Set the latents' mean and standard deviation per channel from a store's fields."""
        total, squares, count = torch.zeros(()), torch.zeros(()), 0
        device = self.mean.device
        with torch.no_grad():
            for part in parts(store):
                fields = torch.from_numpy(np.array(store.fields[part]))
                raw = self.raw_latents(fields.to(device)).double().cpu()
                total = total + raw.sum((0, 2, 3))
                squares = squares + (raw**2).sum((0, 2, 3))
                count += raw[:, 0].numel()
        mean = total / count
        deviation = (squares / count - mean**2).clamp_min(1e-8).sqrt()
        self.mean.copy_(mean.float()[:, None, None])
        self.deviation.copy_(deviation.float()[:, None, None])

    def save(self, path: Path, **extra: Any) -> None:
        """Write settings and weights to ``path`` (a torch file of plain types)."""
        weights.save({"settings": self.settings, "weights": self.state_dict(), **extra}, path)

    @classmethod
    def load(cls, path: Path) -> "Autoencoder":
        """Read a file written by :meth:`save`."""
        state = cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
        model = cls(**state["settings"])
        model.load_state_dict(state["weights"])
        return model.eval()


def reconstruction_loss(
    model: nn.Module, x: Tensor, weights: Tensor, noise: Tensor | None = None
) -> Tensor:
    """Area-weighted mean square error of the reconstruction, plus the latents' penalty.

    ``x`` (batch, level, latitude, longitude); ``weights`` (latitude, 1) of mean 1.
    """
    rebuilt, raw = model(x, noise)
    return ((rebuilt - x) ** 2 * weights).mean() + LATENT_PENALTY * F.relu(raw**2 - 1).mean()


def parts(store: Store) -> Iterator[slice]:
    """Which fields of a store go through a network together: of a fine grid, few."""
    together = max(1, min(FIELDS_AT_ONCE, CELLS_AT_ONCE // math.prod(store.shape[1:])))
    return (slice(n, n + together) for n in range(0, len(store.fields), together))


def reconstruction_error(model: Coder, store: Store, encode: Encode | None = None) -> np.ndarray:
    """Area-weighted root-mean-square reconstruction error (level,) in normalised units.

    ``encode`` is the way into the latents where the fields alone do not lead there.
    """
    cosine = np.cos(np.deg2rad(store.description["latitude"].values))
    weights = torch.from_numpy((cosine / cosine.mean())[:, None]).float()
    total, count = torch.zeros(store.shape[0], dtype=torch.float64), 0
    with torch.no_grad():
        for part in parts(store):
            x = torch.from_numpy(np.array(store.fields[part]))
            latents = model.encode(x) if encode is None else encode(x, store.times[part])
            square = (model.decode(latents) - x) ** 2 * weights
            total += square.double().mean((-2, -1)).sum(0)
            count += len(x)
    return (total / count).sqrt().numpy()


def encode_store(
    autoencoder: Coder,
    store: Store,
    target: Path,
    attributes: Mapping[str, str],
    encode: Encode | None = None,
) -> None:
    """Write the latents of ``store``, as the autoencoder gives them, as a store of their own.

    ``encode`` is the way into them where the fields alone do not lead there.
    """
    writer = StoreWriter(target, autoencoder.latent_shape, len(store.fields))
    with torch.no_grad():
        for part in parts(store):
            x = torch.from_numpy(np.array(store.fields[part]))
            latents = autoencoder.encode(x) if encode is None else encode(x, store.times[part])
            writer.add(latents.numpy())
    dataset = xr.Dataset(coords={n: store.description[n] for n in ("time", "number")})
    dataset.attrs = {"title": "latents", **attributes}
    writer.close(dataset)
