"""Satellite imagery: a small network from the profile to what the channels show.

Brightness temperature and outgoing radiation see cloud tops, which no formula gives from
temperature alone, and precipitation still less; the network learns the mean of every channel and
its error variance from the training period, cell by cell. Both are in units of the anomaly of the
channel, transformed as :mod:`slams.channels` says, from its own seasonal cycle. The error is that
of whole innovations, image against field: what one instant's pixels say of a cell is in it.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from slams import series, weights
from slams.channels import CHANNELS, WINDOW, Channel
from slams.errors import SlamsError
from slams.netcdf import open_dataset
from slams.observation.base import Observation
from slams.observation.checks import fits
from slams.observation.imagery_errors import pixel_factors
from slams.statistics import HarmonicFit, Normalisation, evaluate, year_fraction

ALWAYS = (datetime(1800, 1, 1), datetime(2200, 1, 1))
TIMES_A_CHUNK = 8  # read at once where only some times are wanted
VARIANCE_RANGE = (-6.0, 3.0)  # log variance stays within this, in normalised units


def read(
    paths: Iterable[Path],
    channels: Sequence[str],
    period: tuple[datetime, datetime] | None = None,
) -> Iterator[xr.DataArray]:
    """Regridded images, a piece at a time, in order of time; of a ``period`` only, where given.

    Yields (time, channel, latitude, longitude) in each channel's unit, NaN where missing. Raises
    SlamsError where a file lacks a channel.
    """
    first, last = (np.datetime64(instant, "ns") for instant in period or ALWAYS)
    for path in paths:
        with open_dataset(path) as dataset:
            _require(path, dataset, channels)
        fields = (series.read(path, CHANNELS[name].field, first, last) for name in channels)
        for pieces in zip(*fields, strict=True):
            plain = [piece.drop_attrs() for piece in pieces]
            images = xr.concat(plain, xr.Variable("channel", list(channels)))
            yield images.transpose("time", "channel", "latitude", "longitude")


def lazily(paths: Iterable[Path], channels: Sequence[str]) -> xr.DataArray:
    """As all of :func:`read` in one array, of which only what is selected comes into memory."""
    years = []
    for path in paths:
        dataset = open_dataset(path, chunks={"time": TIMES_A_CHUNK})
        _require(path, dataset, channels)
        fields = [dataset[CHANNELS[name].field].drop_attrs() for name in channels]
        years.append(xr.concat(fields, xr.Variable("channel", list(channels))))
    return xr.concat(years, dim="time").transpose("time", "channel", "latitude", "longitude")


def _require(path: Path, dataset: xr.Dataset, channels: Sequence[str]) -> None:
    lacking = [name for name in channels if CHANNELS[name].field not in dataset]
    if lacking:
        raise SlamsError(
            f"{path} lacks {CHANNELS[lacking[0]].field}, of the channel {lacking[0]}: regrid "
            "the images again, with it in archives.imagery.channels"
        )


class ImageryNetwork(nn.Module):
    """Profiles to the mean and log variance of every normalised channel.

    Works on every cell by itself: inputs (batch, 2 levels + 3, latitude, longitude) are the
    normalised anomaly and reference of every level, sin of latitude, cos and sin of the season.
    """

    def __init__(self, levels: int, width: int = 32, depth: int = 2, channels: int = 1) -> None:
        super().__init__()
        self.settings = {"levels": levels, "width": width, "depth": depth, "channels": channels}
        sizes = [2 * levels + 3, *[width] * depth]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Conv2d(inputs, outputs, 1), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 2 * channels, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, each (batch, channel, latitude, longitude)."""
        mean, raw = self.layers(x).chunk(2, dim=1)
        low, high = VARIANCE_RANGE
        return mean, low + (high - low) * torch.sigmoid(raw)


class ImageryModel:
    """The fitted imagery operator: network, and each channel's seasonal cycle, scale and errors.

    ``channels`` are names of :mod:`slams.channels`; ``coefficients`` (channel, term, latitude,
    longitude) the seasonal cycles of what they are transformed to, ``scale`` (channel,) in the same
    unit. By ``inflation`` (channel,) the errors' variance is multiplied; ``correlation`` (channel,
    channel) of errors and ``strength`` (channel,) say what several channels of a pixel are worth
    together (:mod:`slams.observation.imagery_errors`).
    """

    def __init__(
        self,
        network: ImageryNetwork,
        channels: Sequence[str],
        coefficients: np.ndarray,
        scale: np.ndarray,
    ) -> None:
        self.network, self.channels = network, tuple(channels)
        self.coefficients, self.scale = coefficients, scale
        self.inflation = np.ones(len(self.channels))
        self.correlation = np.eye(len(self.channels))
        self.strength = np.ones(len(self.channels))

    def normalise(self, images: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Images (time, channel, latitude, longitude) in their units to float32 anomalies."""
        result = np.empty(images.shape, np.float32)
        for number, name in enumerate(self.channels):
            season = evaluate(self.coefficients[number], times)
            values = CHANNELS[name].transform(images[:, number])
            result[:, number] = (values - season) / self.scale[number]
        return result

    def save(self, path: Path, card: dict[str, Any]) -> None:
        """Write to a torch file of plain types."""
        arrays = ("coefficients", "scale", "inflation", "correlation", "strength")
        weights.save(
            {
                "settings": self.network.settings,
                "weights": self.network.state_dict(),
                "channels": list(self.channels),
                **{name: torch.from_numpy(getattr(self, name)) for name in arrays},
                "card": card,
            },
            path,
        )

    @classmethod
    def load(cls, path: Path) -> "ImageryModel":
        """Read a file written by :meth:`save`; SlamsError where it is older than the channels."""
        state = cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
        if "channels" not in state:
            raise SlamsError(f"{path} was written before imagery had channels: fit it again")
        network = ImageryNetwork(**state["settings"])
        network.load_state_dict(state["weights"])
        network.eval().requires_grad_(False)
        model = cls(
            network, state["channels"], state["coefficients"].numpy(), state["scale"].numpy()
        )
        for name in ("inflation", "correlation", "strength"):
            setattr(model, name, state[name].numpy())
        return model


def fit_season(
    pieces: Iterable[xr.DataArray], harmonics: int, channel: Channel = WINDOW
) -> tuple[np.ndarray, float]:
    """Seasonal cycle (term, latitude, longitude) of a channel, transformed, and its scale.

    ``pieces`` are images (time, latitude, longitude) in the channel's unit. Cells never seen are
    NaN. Raises SlamsError where nothing was seen.
    """
    running: HarmonicFit | None = None
    for piece in pieces:
        if running is None:
            running = HarmonicFit(piece.shape[1:], harmonics, channel.centre)
        values = channel.transform(piece.values.astype(np.float64))
        running.add(piece["time"].values, values)
    if running is None or not running.count.any():
        raise SlamsError(
            f"archives.imagery: no pixel of {channel.name} was seen in periods.train; add images "
            "of that period, or leave out the channel"
        )
    coefficients, variance = running.solve()
    scale = float(np.sqrt(np.nanmean(variance)))
    if not scale > 0:
        raise SlamsError(f"archives.imagery: {channel.name} does not vary in periods.train")
    return coefficients, scale


def context(normalisation: Normalisation, times: np.ndarray) -> Tensor:
    """What the network sees beside the state: (time, levels + 3, latitude, longitude)."""
    reference = normalisation.reference(times)
    dataset = normalisation.dataset
    centre = dataset["global_mean"].values[:, None, None]
    spread = dataset["global_standard_deviation"].values[:, None, None]
    latitude = np.deg2rad(dataset["latitude"].values)
    angle = 2 * np.pi * year_fraction(times)[:, None, None]
    ones = np.ones((len(times), *reference.shape[-2:]))
    maps = np.stack(
        [np.sin(latitude)[:, None] * ones, np.cos(angle) * ones, np.sin(angle) * ones], axis=1
    )
    return torch.from_numpy(np.concatenate([(reference - centre) / spread, maps], axis=1)).float()


def likelihood_loss(network: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Gaussian negative log likelihood over the pixels seen.

    ``x`` as :class:`ImageryNetwork`; ``target`` (batch, channel, latitude, longitude), NaN where
    missing.
    """
    mean, log_variance = network(x)
    seen = torch.isfinite(target)
    error = torch.where(seen, target, 0.0) - mean
    loss = 0.5 * (log_variance + error**2 * torch.exp(-log_variance))
    return (loss * seen).sum() / seen.sum().clamp_min(1)


class ImageryOperator(nn.Module):
    """The fitted network in one window: normalised fields to normalised channels.

    ``seen`` (step, channel, latitude, longitude) says which pixels have a value; all, by default.
    """

    context: Tensor
    inflation: Tensor
    by_level = True  # the axis after the steps is the channels'

    def __init__(
        self,
        model: ImageryModel,
        normalisation: Normalisation,
        times: np.ndarray,
        seen: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        levels = model.network.settings["levels"]
        if levels != len(normalisation.levels):
            raise SlamsError(
                f"stream imagery: its operator is of {levels} levels, the state has "
                f"{len(normalisation.levels)}: fit it on the state's levels"
            )
        self.network = model.network
        self.register_buffer("context", context(normalisation, times))
        if seen is None:
            seen = np.ones((len(times), len(model.channels), 1, 1), bool)
        factors = pixel_factors(model.correlation, model.strength, seen)
        factors *= model.inflation[:, None, None]
        self.register_buffer("inflation", torch.from_numpy(factors).float())

    def positions(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Row and column, in cells of the full grid, of the pixels: all."""
        return np.arange(rows, dtype=float), np.arange(columns, dtype=float)

    def _inputs(self, x: Tensor) -> Tensor:
        inputs = torch.cat([x, self.context.expand(len(x), -1, -1, -1, -1)], dim=2)
        return inputs.flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Means (batch, step, channel, lat, lon) of fields (batch, step, level, lat, lon)."""
        return self.network(self._inputs(x))[0].unflatten(0, x.shape[:2])

    def tangent(self, x: Tensor) -> Tensor:
        """As a call, linear in ``x``: about its value, by the derivatives of every pixel.

        A pixel sees its own column alone, so that a backward pass a channel gives them all; solvers
        apply them many times, and the network's own derivative costs several passes each time.
        """
        with torch.enable_grad():
            middle = x.detach().requires_grad_()
            means = self.forward(middle)
            slopes = [
                torch.autograd.grad(channel.sum(), middle, retain_graph=True)[0]
                for channel in means.unbind(2)
            ]
        away = x - middle.detach()
        return means.detach() + torch.stack([(slope * away).sum(2) for slope in slopes], dim=2)

    def variance(self, x: Tensor) -> Tensor:
        """Error variances of the same shape."""
        with torch.no_grad():
            variance = self.network(self._inputs(x))[1].exp().unflatten(0, x.shape[:2])
            return self.inflation * variance


def observe(
    images: xr.DataArray, model: ImageryModel, normalisation: Normalisation, times: np.ndarray
) -> Observation:
    """The imagery of a window; ``images`` (time, channel, latitude, longitude), paired by time.

    Raises SlamsError where the images lack a channel of the operator's, are not on its cells, or
    hold what the channel cannot be.
    """
    if not images.get_index("time").is_unique:
        raise SlamsError(
            "stream imagery: there are several images of one time: keep one of each, by the "
            "time coordinate"
        )
    lacking = [name for name in model.channels if name not in images["channel"].values]
    if lacking:
        raise SlamsError(
            f"stream imagery: the images lack {', '.join(lacking)}, which the operator takes: add "
            "the channel, or fit the operator without it"
        )
    found = images.sel(channel=list(model.channels)).reindex(time=times)
    remedy = "regrid the images to the cells that the operator was fitted on, or fit it again"
    for name in ("latitude", "longitude"):
        cells = normalisation.dataset[name].values
        if found[name].shape != cells.shape or not np.allclose(found[name], cells):
            raise SlamsError(f"stream imagery: its {name}s are not those of the state: {remedy}")
    values = found.transpose("time", "channel", "latitude", "longitude").values
    cells_of = model.coefficients.shape[2:]
    fits(values, (len(times), len(model.channels), *cells_of), "imagery", remedy)
    for number, name in enumerate(model.channels):
        _possible(values[:, number], CHANNELS[name])
    value = model.normalise(values, times)
    operator = ImageryOperator(model, normalisation, times, np.isfinite(value))
    return Observation(operator, value, operator.variance, times, "imagery")


def _possible(values: np.ndarray, channel: Channel) -> None:
    """Raise SlamsError where a value that was seen is none that the channel can have."""
    low, high = channel.limits
    wrong = values[~(np.isnan(values) | ((values >= low) & (values <= high)))]
    if len(wrong):
        raise SlamsError(
            f"stream imagery: {len(wrong)} values of {channel.name} are impossible, the first "
            f"{wrong[0]:g} (possible are {low:g} to {high:g} {channel.units}): mend the unit, or "
            "mark missing pixels as NaN"
        )
