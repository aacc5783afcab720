"""The prior: a diffusion model of what windows of temperature look like.

The denoiser D(x; sigma) estimates a clean window from x + sigma * noise. It is preconditioned
as in Karras et al. (2022, arXiv 2206.00364, Table 1), with the covariance of the training period
(:mod:`slams.gaussian`) where they have one variance for all data. It lives in pixel space (the
state is the normalised field) or in latent space (the state is the autoencoder's latent);
:class:`Prior` hides which.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol, cast

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from slams import weights
from slams.autoencoder import Autoencoder
from slams.draws import Draws
from slams.errors import SlamsError
from slams.gaussian import GaussianBase
from slams.nets import UNet, WindowNetwork
from slams.paper.autoencoder import PaperAutoencoder
from slams.paper.denoiser import EpsDenoiser
from slams.statistics import Normalisation, year_fraction

# Training noise levels: log sigma is normal. Beyond sigma 10 and below 0.04, where 3 % of the draws
# fall on either side, the linear-Gaussian base is all there is to know.
LOG_SIGMA_MEAN, LOG_SIGMA_DEVIATION = -0.5, 1.5
# Above this level, which one draw in a thousand exceeds, what the network says beside a base fades:
# the sampler begins where no network was trained.
FADED = math.exp(LOG_SIGMA_MEAN + 3 * LOG_SIGMA_DEVIATION)


class StateSpace(Protocol):
    """What the sampler asks of a prior; tests give it exact Gaussian ones."""

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of a state, without the batch."""
        ...

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        """Estimate of the clean state from ``x`` (batch, *state_shape) at ``sigma`` (scalar)."""
        ...

    def decode(self, x: Tensor) -> Tensor:
        """States to normalised fields (batch, step, level, latitude, longitude)."""
        ...


class LinearStateSpace(StateSpace, Protocol):
    """A prior with a linear-Gaussian base."""

    @property
    def base(self) -> GaussianBase | None:
        """The base, or None where such a prior may be without."""
        ...

    def known(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The base's estimate L(sigma) x of the clean state (batch, *state_shape)."""
        ...


class Denoiser(WindowNetwork):
    """Preconditioned U-Net over windows (batch, step, channel, latitude, longitude).

    Beside the window it sees what the linear-Gaussian base makes of it, where it is
    (``longitude``: also in longitude) and the day of the year of the window's first step.
    ``modes`` are those of the base (:class:`slams.gaussian.GaussianBase`), of which the
    ``joint_modes`` largest vary together; without them the data are taken to be of unit variance.
    """

    def __init__(
        self,
        window: int,
        channels: int,
        rows: int,
        columns: int,
        *,
        width: Sequence[int],
        blocks: int = 2,
        embedding: int = 64,
        longitude: bool = True,
        modes: int = 0,
        joint_modes: int = 0,
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
        self.settings |= {"modes": modes, "joint_modes": joint_modes}
        shape = window, channels, rows, columns
        self.base = GaussianBase(*shape, modes, joint_modes) if modes else None
        inputs = self.states if self.base is None else 2 * self.states
        self.net = UNet(inputs + self.context_channels, self.states, width, blocks, embedding)

    def forward(self, x: Tensor, sigma: Tensor, season: Tensor) -> Tensor:
        """Denoise ``x`` (batch, *state_shape); ``sigma`` and ``season`` (batch,).

        ``season`` is the fraction of the year.
        """
        spread = sigma.view(-1, 1, 1, 1, 1)
        scale = 1 / (1 + spread**2).sqrt()
        known = scale**2 * x if self.base is None else self.base.scaled(x, sigma, root=False)
        states = [scale * x] if self.base is None else [scale * x, known]
        learned = self.net(self.with_context(season, *states), sigma.log() / 4).float()
        learned = learned.unflatten(1, x.shape[1:3])
        if self.base is None:
            return known + spread * scale * learned
        fade = (FADED / spread).clamp_max(1.0) ** 2
        return known + self.base.scaled(fade * learned, sigma, root=True)


def draw_sigma(batch: int, generator: torch.Generator) -> Tensor:
    """Noise levels (batch,) of a training batch, spread evenly over the quantiles of their law."""
    shift = torch.rand(1, generator=generator)
    quantile = (torch.arange(batch) + shift) / batch
    quantile = quantile[torch.randperm(batch, generator=generator)].clamp(1e-4, 1 - 1e-4)
    normal = math.sqrt(2) * torch.erfinv(2 * quantile - 1)
    return (LOG_SIGMA_MEAN + LOG_SIGMA_DEVIATION * normal).exp()


def denoising_loss(model: nn.Module, x: Tensor, season: Tensor, draws: Draws) -> Tensor:
    """Karras-weighted denoising loss of windows ``x`` (share, step, channel, lat, lon)."""
    sigma = draws.few(draw_sigma).to(x.device)
    noise = draws.normal(*x.shape[1:], device=x.device)
    spread = sigma.view(-1, 1, 1, 1, 1)
    estimate = model(x + spread * noise, sigma, season)
    return ((1 + spread**2) / spread**2 * (estimate - x) ** 2).mean()


# The kinds of networks by the names that a prior's file has for them; a file without a name is of
# the first.
DENOISERS: dict[str, type[Denoiser] | type[EpsDenoiser]] = {
    "karras": Denoiser,
    "eps": EpsDenoiser,
}
AUTOENCODERS: dict[str, type[Autoencoder] | type[PaperAutoencoder]] = {
    "sphere": Autoencoder,
    "paper": PaperAutoencoder,
}


def _kind(kinds: Mapping[str, type], network: nn.Module) -> str:
    return next(name for name, kind in kinds.items() if type(network) is kind)


class Prior:
    """A trained diffusion model, with what leads from its states to temperatures.

    ``space`` is "pixel" or "latent"; a latent prior carries its autoencoder. ``step_hours`` is
    the time between the steps of a window.
    """

    def __init__(
        self,
        denoiser: Denoiser | EpsDenoiser,
        statistics: xr.Dataset,
        *,
        step_hours: float,
        autoencoder: Autoencoder | PaperAutoencoder | None = None,
    ) -> None:
        self.denoiser = denoiser.eval().requires_grad_(False)
        self.autoencoder = autoencoder
        if autoencoder is not None:
            autoencoder.eval().requires_grad_(False)
        self.statistics = statistics
        self.normalisation = Normalisation(statistics)
        self.step_hours = step_hours
        self.space = "pixel" if autoencoder is None else "latent"
        self.device = torch.device("cpu")

    @property
    def state_shape(self) -> tuple[int, ...]:
        """(step, channel, latitude, longitude) of a state."""
        return self.denoiser.state_shape

    @property
    def window(self) -> int:
        """Steps of a window."""
        return self.denoiser.state_shape[0]

    def to(self, device: torch.device) -> "Prior":
        """Move the networks to ``device``."""
        self.denoiser.to(device)
        if self.autoencoder is not None:
            self.autoencoder.to(device)
        self.device = device
        return self

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        """Estimate of the clean state from ``x`` (batch, *state_shape) at ``sigma`` (scalar)."""
        season = torch.full((len(x),), float(year_fraction(times[0])), device=x.device)
        return self.denoiser(x, sigma.to(x).expand(len(x)), season)

    @property
    def base(self) -> GaussianBase | None:
        """The linear-Gaussian base of the network, if it has one."""
        return cast(GaussianBase | None, getattr(self.denoiser, "base", None))

    def known(self, x: Tensor, sigma: Tensor) -> Tensor:
        """What the linear-Gaussian base makes of ``x`` (batch, *state_shape) at ``sigma``.

        Raises SlamsError where the prior has no base.
        """
        if self.base is None:
            raise SlamsError(
                "sampler.method: gaussian needs a prior with a linear-Gaussian base: set "
                f"prior.{self.space}.modes above 0 and train again, or take method mmps"
            )
        return self.base.scaled(x, sigma.to(x).expand(len(x)), root=False)

    def decode(self, x: Tensor) -> Tensor:
        """States to normalised fields (batch, step, level, latitude, longitude)."""
        return x if self.autoencoder is None else self.autoencoder.decode(x)

    def encode(self, fields: Tensor) -> Tensor:
        """Normalised fields (batch, step, level, latitude, longitude) to states."""
        return fields if self.autoencoder is None else self.autoencoder.encode(fields)

    def to_kelvin(self, fields: Tensor | np.ndarray, times: np.ndarray) -> xr.DataArray:
        """Normalised fields ([member,] time, level, latitude, longitude) as temperatures in K."""
        values = fields.cpu().numpy() if isinstance(fields, Tensor) else fields
        dims = ("member", "time", "level", "latitude", "longitude")[-values.ndim :]
        coords = {n: self.statistics[n].values for n in ("level", "latitude", "longitude")}
        if "member" in dims:
            coords["member"] = np.arange(len(values))
        return xr.DataArray(
            self.normalisation.to_kelvin(values.astype(np.float64), times),
            dims=dims,
            coords={"time": times, **coords},
            name="air_temperature",
            attrs={"units": "K"},
        )

    def save(self, path: Path) -> None:
        """Write everything that :meth:`load` needs into one torch file of plain types."""
        statistics = {
            name: torch.from_numpy(np.array(self.statistics[name].values))
            for name in [*self.statistics.data_vars, "level", "latitude", "longitude"]
        }
        dims = {name: list(self.statistics[name].dims) for name in self.statistics.data_vars}
        state: dict[str, Any] = {
            "parameterisation": _kind(DENOISERS, self.denoiser),
            "denoiser": self.denoiser.settings,
            "weights": self.denoiser.state_dict(),
            "step_hours": self.step_hours,
            "statistics": statistics,
            "statistics_dims": dims,
        }
        if self.autoencoder is not None:
            state["autoencoder_kind"] = _kind(AUTOENCODERS, self.autoencoder)
            state["autoencoder"] = self.autoencoder.settings
            state["autoencoder_weights"] = self.autoencoder.state_dict()
        weights.save(state, path)

    @classmethod
    def load(cls, path: str | Path) -> "Prior":
        """Read a prior written by :meth:`save`; raises SlamsError where ``path`` is none."""
        try:
            state = cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
            settings = state["denoiser"]
            denoiser = DENOISERS[state.get("parameterisation", "karras")](**settings)
            denoiser.load_state_dict(state["weights"])
            autoencoder = None
            if "autoencoder" in state:
                kind = AUTOENCODERS[state.get("autoencoder_kind", "sphere")]
                autoencoder = kind(**state["autoencoder"])
                autoencoder.load_state_dict(state["autoencoder_weights"])
            values = {name: value.numpy() for name, value in state["statistics"].items()}
            dims, step_hours = state["statistics_dims"], state["step_hours"]
        except FileNotFoundError:
            raise SlamsError(f"prior {path}: no such file; train it first") from None
        except (LookupError, TypeError, RuntimeError, OSError, EOFError, UnpicklingError) as error:
            # A truncated file is any of these to torch, by where it ends.
            raise SlamsError(f"prior {path}: not a prior of SLAMS, or not whole") from error
        coords = {name: values.pop(name) for name in ("level", "latitude", "longitude")}
        statistics = xr.Dataset({n: (dims[n], v) for n, v in values.items()}, coords=coords)
        return cls(denoiser, statistics, step_hours=step_hours, autoencoder=autoencoder)
