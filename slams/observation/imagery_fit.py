"""The training of the imagery operator, from store and images to a file.

It stands apart from :mod:`slams.observation.imagery`, which assimilation needs without the
training loop, and from :mod:`slams.recipes`, so that an edit here leaves the priors alone.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from slams.observation.rows import Spool
from slams.provenance import atomic
from slams.recipes import averaged, spread_out, write_model
from slams.statistics import Normalisation
from slams.store import Store
from slams.trainer import PLAIN, Trainer
from slams.training import Settings, train

log = logging.getLogger(__name__)

Images = Callable[[], Iterable[xr.DataArray]]  # a period's, from the first on at every call


def train_imagery(
    training: Store,
    validation: Store,
    target: Path,
    *,
    statistics: xr.Dataset,
    channels: Sequence[str],
    pieces: Images,
    checks: Images,
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

    ``pieces`` and ``checks`` give images (time, channel, latitude, longitude), in the units of
    ``channels``, of the training and of the validation period, a piece at a time, whenever they are
    asked; they are paired with the fields by time. What is paired lies
    in a temporary file, so that neither period need be in memory.
    """
    seasons = [
        fit_season((piece.sel(channel=name) for piece in pieces()), harmonics, CHANNELS[name])
        for name in channels
    ]
    coefficients = np.stack([season for season, _ in seasons])
    normalisation = Normalisation(statistics)
    torch.manual_seed(seed)
    network = ImageryNetwork(training.shape[0], **architecture, channels=len(channels))
    model = ImageryModel(network, channels, coefficients, np.array([scale for _, scale in seasons]))

    def pair(store: Store, images: Images, period: str) -> tuple[np.ndarray, np.ndarray]:
        paired, kept = [], Spool((len(channels), *store.shape[1:]))
        for piece in images():
            times = piece["time"].values
            common, of_store, of_piece = np.intersect1d(store.times, times, return_indices=True)
            if len(common):
                values = piece.isel(time=of_piece).sel(channel=list(channels)).values
                kept.add(model.normalise(values, common))
                paired.append(of_store)
        if not paired:
            raise SlamsError(
                f"archives.imagery: no image coincides in time with a field of periods.{period}; "
                "add images of that period or leave out the stream"
            )
        order = np.argsort(np.concatenate(paired))
        if (np.diff(order) > 0).all():
            return np.concatenate(paired), kept.mapped()
        sorted_again = Spool(kept.shape)
        for number in order:  # files that were not given in their order
            sorted_again.add(kept.mapped()[number : number + 1])
        return np.concatenate(paired)[order], sorted_again.mapped()

    fields, targets = pair(training, pieces, "train")
    check_fields, check_targets = pair(validation, checks, "validation")

    def inputs(store: Store, chosen: np.ndarray) -> Tensor:
        x = torch.from_numpy(store.batch(chosen, 1)[:, 0])
        return torch.cat([x, context(normalisation, store.times[chosen])], dim=1)

    def read(indices: np.ndarray) -> tuple[Tensor, Tensor]:
        return inputs(training, fields[indices]), torch.from_numpy(np.array(targets[indices]))

    def loss(net: nn.Module, data: tuple[Tensor, Tensor], draws: Draws) -> Tensor:
        return likelihood_loss(net, *data) * _weight(data[1])

    chosen = spread_out(np.arange(len(check_fields)))

    def check(net: nn.Module) -> float:
        def measure(part: np.ndarray, _: int) -> float:
            goal = torch.from_numpy(np.array(check_targets[part])).to(device)
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
    residuals = Spool(targets.shape[1:])
    squares, count = np.zeros((2, targets.shape[1]))
    times = store.times[chosen]
    with torch.no_grad():
        for place, field in enumerate(chosen):
            x = torch.from_numpy(store.window(field, 1))
            about = context(normalisation, times[place : place + 1])
            mean, log_variance = model.network(torch.cat([x, about], dim=1))
            deviation = (0.5 * log_variance[0]).exp().numpy()
            residuals.add((targets[place] - mean[0].numpy())[None] / deviation)
            seen = np.isfinite(targets[place])
            signal = np.where(seen, mean[0].numpy().astype(np.float64) / deviation, 0.0)
            squares += (signal**2).sum((1, 2))
            count += seen.sum((1, 2))
    unseen = [name for name, seen in zip(model.channels, count, strict=True) if not seen]
    if unseen:
        raise SlamsError(
            f"archives.imagery: no pixel of {unseen[0]} was seen in periods.validation; add images "
            "of that period, or leave out the channel"
        )
    return residuals.mapped(), np.sqrt(squares / count)
