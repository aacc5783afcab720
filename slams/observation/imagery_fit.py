"""The training of the imagery operator, from store and images to a file.

It stands apart from :mod:`slams.observation.imagery`, which assimilation needs without the
training loop, and from :mod:`slams.recipes`, so that an edit here leaves the priors alone.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from slams import world
from slams.channels import CHANNELS
from slams.draws import Draws
from slams.errors import SlamsError
from slams.observation.imagery import (
    ImageryModel,
    ImageryNetwork,
    context,
    fit_season,
    likelihood_loss,
)
from slams.observation.imagery_errors import channel_correlation, correlation_inflation
from slams.provenance import atomic
from slams.recipes import averaged, spread_out, write_model
from slams.statistics import Normalisation
from slams.store import Store
from slams.trainer import PLAIN, Trainer
from slams.training import Settings, train

log = logging.getLogger(__name__)


def train_imagery(
    training: Store,
    validation: Store,
    target: Path,
    *,
    statistics: xr.Dataset,
    channels: Sequence[str],
    pieces: list[xr.DataArray],
    checks: list[xr.DataArray],
    architecture: Mapping[str, Any],
    harmonics: int,
    settings: Settings,
    seed: int,
    checkpoints: Path,
    fingerprint: str,
    device: torch.device,
    attributes: Mapping[str, str],
    trainer: Trainer = PLAIN,
) -> None:
    """Fit the imagery operator and write it to ``target``.

    ``pieces`` and ``checks`` are images (time, channel, latitude, longitude), in the units of
    ``channels``, of the training and of the validation period; they are paired with the fields by
    time.
    """
    seasons = [
        fit_season((piece.sel(channel=name) for piece in pieces), harmonics, CHANNELS[name])
        for name in channels
    ]
    coefficients = np.stack([season for season, _ in seasons])
    normalisation = Normalisation(statistics)
    torch.manual_seed(seed)
    network = ImageryNetwork(training.shape[0], **architecture, channels=len(channels))
    model = ImageryModel(network, channels, coefficients, np.array([scale for _, scale in seasons]))

    def pair(
        store: Store, images: list[xr.DataArray], period: str
    ) -> tuple[np.ndarray, np.ndarray]:
        times = [piece["time"].values for piece in images] or [store.times[:0]]
        common, of_store, of_images = np.intersect1d(
            store.times, np.concatenate(times), return_indices=True
        )
        if not len(common):
            raise SlamsError(
                f"archives.imagery: no image coincides in time with a field of periods.{period}; "
                "add images of that period or leave out the stream"
            )
        values = np.concatenate([piece.sel(channel=list(channels)).values for piece in images])
        return of_store, model.normalise(values[of_images], common)

    fields, targets = pair(training, pieces, "train")
    check_fields, check_targets = pair(validation, checks, "validation")

    def inputs(store: Store, chosen: np.ndarray) -> Tensor:
        x = torch.from_numpy(store.batch(chosen, 1)[:, 0])
        return torch.cat([x, context(normalisation, store.times[chosen])], dim=1)

    def read(indices: np.ndarray) -> tuple[Tensor, Tensor]:
        return inputs(training, fields[indices]), torch.from_numpy(targets[indices])

    def loss(net: nn.Module, data: tuple[Tensor, Tensor], draws: Draws) -> Tensor:
        return likelihood_loss(net, *data) * _weight(data[1])

    chosen = spread_out(np.arange(len(check_fields)))

    def check(net: nn.Module) -> float:
        def measure(part: np.ndarray, _: int) -> float:
            goal = torch.from_numpy(check_targets[part]).to(device)
            x = inputs(validation, check_fields[part]).to(device)
            return float(likelihood_loss(net, x, goal))

        return averaged(chosen, measure)

    _, curve, card = train(
        network,
        read,
        loss,
        check,
        samples=len(fields),
        settings=settings,
        seed=seed,
        folder=checkpoints,
        fingerprint=fingerprint,
        device=device,
        trainer=trainer,
    )
    if world.rank():
        return  # the first process writes
    network.cpu().eval()
    residuals, strength = _residuals(model, normalisation, validation, check_fields, check_targets)
    times = validation.times[check_fields]
    each = [correlation_inflation(residuals[:, n], times) for n in range(len(channels))]
    model.inflation, model.strength = np.array(each), strength
    model.correlation = channel_correlation(residuals)
    card["error_inflation"] = dict(zip(channels, each, strict=True))
    card["error_correlation"] = model.correlation.round(4).tolist()
    card["strength"] = dict(zip(channels, strength.tolist(), strict=True))
    for name, factor in card["error_inflation"].items():
        log.info("errors of %s are correlated: their variance times %.1f", name, factor)
    write_model(target, curve, card, attributes)
    with atomic(target) as temporary:
        model.save(temporary, card)


def _weight(targets: Tensor) -> Tensor:
    """By how much a share's mean over the pixels seen counts, beside those of other processes."""
    seen = torch.isfinite(targets).sum().double()
    return (world.size() * seen / world.summed(seen).clamp_min(1)).to(targets)


def _residuals(
    model: ImageryModel,
    normalisation: Normalisation,
    store: Store,
    chosen: np.ndarray,
    targets: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Errors over their predicted standard deviation (time, channel, latitude, longitude).

    And by how many such standard deviations the state moves each channel (channel,): the root mean
    square of what is predicted, where something was seen.
    """
    residuals = np.empty_like(targets)
    signal = np.empty_like(targets)
    times = store.times[chosen]
    with torch.no_grad():
        for place, field in enumerate(chosen):
            x = torch.from_numpy(store.window(field, 1))
            about = context(normalisation, times[place : place + 1])
            mean, log_variance = model.network(torch.cat([x, about], dim=1))
            deviation = (0.5 * log_variance[0]).exp().numpy()
            residuals[place] = (targets[place] - mean[0].numpy()) / deviation
            signal[place] = np.where(
                np.isfinite(targets[place]), mean[0].numpy() / deviation, np.nan
            )
    unseen = [model.channels[n] for n in range(targets.shape[1]) if np.isnan(targets[:, n]).all()]
    if unseen:
        raise SlamsError(
            f"archives.imagery: no pixel of {unseen[0]} was seen in periods.validation; add images "
            "of that period, or leave out the channel"
        )
    return residuals, np.sqrt(np.nanmean(signal.astype(np.float64) ** 2, axis=(0, 2, 3)))
