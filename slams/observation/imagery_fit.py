"""The training of the imagery operator, from store and images to a file.

It stands apart from :mod:`slams.observation.imagery`, which assimilation needs without the
training loop, and from :mod:`slams.recipes`, so that an edit here leaves the priors alone.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from slams.errors import SlamsError
from slams.observation.imagery import (
    ImageryModel,
    ImageryNetwork,
    context,
    correlation_inflation,
    fit_season,
    likelihood_loss,
)
from slams.provenance import atomic
from slams.recipes import averaged, spread_out, write_model
from slams.statistics import Normalisation
from slams.store import Store
from slams.training import Settings, train

log = logging.getLogger(__name__)


def train_imagery(
    training: Store,
    validation: Store,
    target: Path,
    *,
    statistics: xr.Dataset,
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
) -> None:
    """Fit the imagery operator and write it to ``target``.

    ``pieces`` and ``checks`` are brightness_temperature(time, latitude, longitude) in K of the
    training and of the validation period, paired with the fields by time.
    """
    coefficients, scale = fit_season(pieces, harmonics)
    normalisation = Normalisation(statistics)
    torch.manual_seed(seed)
    network = ImageryNetwork(training.shape[0], **architecture)
    model = ImageryModel(network, coefficients, scale)

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
        brightness = np.concatenate([piece.values for piece in images])
        return of_store, model.normalise(brightness[of_images], common)

    fields, targets = pair(training, pieces, "train")
    check_fields, check_targets = pair(validation, checks, "validation")

    def inputs(store: Store, chosen: np.ndarray) -> Tensor:
        x = torch.from_numpy(store.batch(chosen, 1)[:, 0])
        return torch.cat([x, context(normalisation, store.times[chosen])], dim=1).to(device)

    def loss(net: nn.Module, indices: np.ndarray, generator: torch.Generator) -> Tensor:
        goal = torch.from_numpy(targets[indices]).to(device)
        return likelihood_loss(net, inputs(training, fields[indices]), goal)

    chosen = spread_out(np.arange(len(check_fields)))

    def check(net: nn.Module) -> float:
        def measure(part: np.ndarray, _: int) -> float:
            goal = torch.from_numpy(check_targets[part]).to(device)
            return float(likelihood_loss(net, inputs(validation, check_fields[part]), goal))

        return averaged(chosen, measure)

    _, curve, card = train(
        network,
        loss,
        check,
        samples=len(fields),
        settings=settings,
        seed=seed,
        folder=checkpoints,
        fingerprint=fingerprint,
        device=device,
    )
    network.cpu().eval()
    model.inflation = correlation_inflation(
        *_residuals(model, normalisation, validation, check_fields, check_targets)
    )
    card["error_inflation"] = model.inflation
    log.info("errors are correlated: their variance is multiplied by %.1f", model.inflation)
    write_model(target, curve, card, attributes)
    with atomic(target) as temporary:
        model.save(temporary, card)


def _residuals(
    model: ImageryModel,
    normalisation: Normalisation,
    store: Store,
    chosen: np.ndarray,
    targets: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Errors over their predicted standard deviation (time, latitude, longitude); their times."""
    residuals = np.empty_like(targets)
    times = store.times[chosen]
    with torch.no_grad():
        for place, field in enumerate(chosen):
            x = torch.from_numpy(store.window(field, 1))
            about = context(normalisation, times[place : place + 1])
            mean, log_variance = model.network(torch.cat([x, about], dim=1))
            error = targets[place] - mean[0].numpy()
            residuals[place] = error / (0.5 * log_variance[0]).exp().numpy()
    return residuals, times
