"""Satellite imagery: a small network from the profile to brightness temperature.

Brightness temperature sees cloud tops, which no formula gives from temperature alone; the
network learns its mean and its error variance from the training period, cell by cell. Both are
in units of the anomaly of brightness temperature from its own seasonal cycle. The error is that of
whole innovations, image against field: what one instant's pixels say of a cell is in it.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from slams.errors import SlamsError
from slams.observation.base import Observation
from slams.observation.checks import BRIGHTNESS_RANGE_K, fits, plausible
from slams.statistics import HarmonicFit, Normalisation, evaluate, year_fraction

VARIANCE_RANGE = (-6.0, 3.0)  # log variance stays within this, in normalised units


class ImageryNetwork(nn.Module):
    """Profiles to the mean and log variance of normalised brightness temperature.

    Works on every cell by itself: inputs (batch, 2 levels + 3, latitude, longitude) are the
    normalised anomaly and reference of every level, sin of latitude, cos and sin of the season.
    """

    def __init__(self, levels: int, width: int = 32, depth: int = 2) -> None:
        super().__init__()
        self.settings = {"levels": levels, "width": width, "depth": depth}
        sizes = [2 * levels + 3, *[width] * depth]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Conv2d(inputs, outputs, 1), nn.SiLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 2, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, each (batch, latitude, longitude)."""
        mean, raw = self.layers(x).unbind(1)
        low, high = VARIANCE_RANGE
        return mean, low + (high - low) * torch.sigmoid(raw)


class ImageryModel:
    """The fitted imagery operator: network, seasonal cycle and scale of brightness temperature."""

    def __init__(
        self,
        network: ImageryNetwork,
        coefficients: np.ndarray,
        scale: float,
        inflation: float = 1.0,
    ) -> None:
        self.network = network
        self.coefficients = coefficients
        self.scale = scale
        self.inflation = inflation  # of the error's variance, see correlation_inflation

    def normalise(self, brightness: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Brightness temperature (time, latitude, longitude) in K to float32 anomalies."""
        return ((brightness - evaluate(self.coefficients, times)) / self.scale).astype(np.float32)

    def save(self, path: Path, card: dict[str, Any]) -> None:
        """Write to a torch file of plain types."""
        torch.save(
            {
                "settings": self.network.settings,
                "weights": self.network.state_dict(),
                "coefficients": torch.from_numpy(self.coefficients),
                "scale": self.scale,
                "inflation": self.inflation,
                "card": card,
            },
            path,
        )

    @classmethod
    def load(cls, path: Path) -> "ImageryModel":
        """Read a file written by :meth:`save`."""
        state = cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
        network = ImageryNetwork(**state["settings"])
        network.load_state_dict(state["weights"])
        network.eval().requires_grad_(False)
        return cls(network, state["coefficients"].numpy(), state["scale"], state["inflation"])


def fit_season(pieces: list[xr.DataArray], harmonics: int) -> tuple[np.ndarray, float]:
    """Seasonal cycle (term, latitude, longitude) of brightness temperature, and the scale, K.

    Cells never seen are NaN. Raises SlamsError where nothing was seen.
    """
    running: HarmonicFit | None = None
    for piece in pieces:
        if running is None:
            running = HarmonicFit(piece.shape[1:], harmonics)
        running.add(piece["time"].values, piece.values.astype(np.float64))
    if running is None or not running.count.any():
        raise SlamsError(
            "archives.imagery: no pixel was seen in periods.train; add imagery of that period or "
            "leave out the stream"
        )
    coefficients, variance = running.solve()
    scale = float(np.sqrt(np.nanmean(variance)))
    if not scale > 0:
        raise SlamsError("archives.imagery: brightness temperature does not vary in periods.train")
    return coefficients, scale


def correlation_inflation(residuals: np.ndarray, times: np.ndarray) -> float:
    """By how much to multiply the error's variance because the errors are not independent.

    ``residuals`` (time, latitude, longitude) are errors over their predicted standard deviation,
    NaN where nothing was seen. The likelihood takes errors as independent; where neighbours err
    alike, that counts the same news several times. The factor is the sum of the correlations over
    the adjacent cells and times, taken as separable: the product of 1 + 2 r over latitude,
    longitude and time, with r the correlation of neighbours (at least zero). It is times the
    residuals' mean square, should they be larger than predicted.
    """
    size = float(np.nanmean(residuals**2))
    following = np.diff(times) == np.diff(times).min() if len(times) > 1 else np.zeros(0, bool)
    pairs = (
        (residuals[:, 1:], residuals[:, :-1]),
        (residuals, np.roll(residuals, 1, axis=-1)),
        (residuals[1:][following], residuals[:-1][following]),
    )
    factor = max(size, 1.0)
    for one, other in pairs:
        product = one * other
        if np.isfinite(product).any():
            factor *= 1 + 2 * max(float(np.nanmean(product)) / size, 0.0)
    return factor


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

    ``x`` as :class:`ImageryNetwork`; ``target`` (batch, latitude, longitude), NaN where missing.
    """
    mean, log_variance = network(x)
    seen = torch.isfinite(target)
    error = torch.where(seen, target, 0.0) - mean
    loss = 0.5 * (log_variance + error**2 * torch.exp(-log_variance))
    return (loss * seen).sum() / seen.sum().clamp_min(1)


class ImageryOperator(nn.Module):
    """The fitted network in one window: normalised fields to normalised brightness temperature."""

    context: Tensor

    def __init__(
        self, model: ImageryModel, normalisation: Normalisation, times: np.ndarray
    ) -> None:
        super().__init__()
        levels = model.network.settings["levels"]
        if levels != len(normalisation.levels):
            raise SlamsError(
                f"stream imagery: its operator is of {levels} levels, the state has "
                f"{len(normalisation.levels)}: fit it on the state's levels"
            )
        self.network = model.network
        self.inflation = model.inflation
        self.register_buffer("context", context(normalisation, times))

    def _inputs(self, x: Tensor) -> Tensor:
        inputs = torch.cat([x, self.context.expand(len(x), -1, -1, -1, -1)], dim=2)
        return inputs.flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Means (batch, step, latitude, longitude) of fields (batch, step, level, lat, lon)."""
        return self.network(self._inputs(x))[0].unflatten(0, x.shape[:2])

    def variance(self, x: Tensor) -> Tensor:
        """Error variances of the same shape."""
        with torch.no_grad():
            variance = self.inflation * self.network(self._inputs(x))[1].exp()
        return variance.unflatten(0, x.shape[:2])


def observe(
    brightness: xr.DataArray, model: ImageryModel, normalisation: Normalisation, times: np.ndarray
) -> Observation:
    """The imagery of a window; ``brightness`` (time, latitude, longitude) in K, paired by time.

    Raises SlamsError where the images are not on the operator's cells, or are no brightness
    temperatures in K.
    """
    if not brightness.get_index("time").is_unique:
        raise SlamsError(
            "stream imagery: there are several images of one time: keep one of each, by the "
            "time coordinate"
        )
    found = brightness.reindex(time=times)
    remedy = "regrid the images to the cells that the operator was fitted on, or fit it again"
    for name in ("latitude", "longitude"):
        cells = normalisation.dataset[name].values
        if found[name].shape != cells.shape or not np.allclose(found[name], cells):
            raise SlamsError(f"stream imagery: its {name}s are not those of the state: {remedy}")
    fits(found.values, (len(times), *model.coefficients.shape[1:]), "imagery", remedy)
    remedy = "mend the unit, or mark missing pixels as NaN"
    plausible(found.values, "imagery", remedy, BRIGHTNESS_RANGE_K)
    operator = ImageryOperator(model, normalisation, times)
    value = model.normalise(found.values, times)
    return Observation(operator, value, operator.variance, times, "imagery")
