"""The autoencoder's and priors' training, from the store to a file: what their rules call."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn

from slams import weights, world
from slams.autoencoder import Autoencoder, Encode, reconstruction_error, reconstruction_loss
from slams.draws import Draws
from slams.errors import SlamsError
from slams.gaussian import GaussianBase
from slams.grid import Grid
from slams.paper.autoencoder import PaperAutoencoder
from slams.paper.denoiser import EpsDenoiser, eps_loss
from slams.prior import Denoiser, Prior, denoising_loss
from slams.provenance import atomic
from slams.statistics import year_fraction
from slams.store import Store
from slams.trainer import PLAIN, Trainer
from slams.training import Settings, train

VALIDATION_SAMPLES = 256  # at most so many windows measure the validation loss


def rolled(x: Tensor, draws: Draws) -> Tensor:
    """``x`` (share, ..., longitude), each by its own random rotation about the axis."""
    turns = draws.few(lambda n, g: torch.randint(x.shape[-1], (n,), generator=g)).tolist()
    return torch.stack([field.roll(by, -1) for field, by in zip(x, turns, strict=True)])


def spread_out(starts: np.ndarray) -> np.ndarray:
    """At most VALIDATION_SAMPLES of the starts, evenly spread."""
    count = min(len(starts), VALIDATION_SAMPLES)
    return starts[np.linspace(0, len(starts) - 1, count).round().astype(int)]


def averaged(chosen: np.ndarray, measure: Callable[[np.ndarray, int], float]) -> float:
    """The mean of ``measure(samples, number)`` over the ``chosen`` samples, few at a time.

    Of several processes each measures some, and their results add up to the mean.
    """
    parts = np.array_split(chosen, max(len(chosen) // 32, 1))
    mine = list(enumerate(parts))[world.rank() :: world.size()]
    return sum(len(part) * measure(part, n) for n, part in mine) / len(chosen)


def write_model(
    path: Path, curve: pd.DataFrame, card: Mapping[str, Any], attributes: Mapping[str, str]
) -> None:
    """Write the loss curve (.csv) and the card (.json) beside the model file ``path``."""
    with atomic(path.with_suffix(".csv")) as temporary:
        curve.to_csv(temporary, index=False)
    with atomic(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps({**card, **attributes}, indent=2, default=str) + "\n")


def write_autoencoder(
    path: Path,
    model: Autoencoder | PaperAutoencoder,
    validation: Store,
    curve: pd.DataFrame,
    card: Mapping[str, Any],
    attributes: Mapping[str, str],
    encode: Encode | None = None,
) -> None:
    """Write an autoencoder as :func:`write_model` does, its reconstruction error in the card.

    ``encode`` is as in :func:`~slams.autoencoder.reconstruction_error`.
    """
    error = reconstruction_error(model, validation, encode=encode)
    error = error * validation.description["scale"].values
    levels = map(str, validation.description["level"].values)
    found = {"reconstruction_rmse_K": dict(zip(levels, error.round(3), strict=True))}
    write_model(path, curve, {**card, **found}, attributes)
    with atomic(path) as temporary:
        model.save(temporary)


def train_autoencoder(
    training: Store,
    validation: Store,
    target: Path,
    *,
    architecture: Mapping[str, Any],
    latent_noise: float,
    settings: Settings,
    seed: int,
    checkpoints: Path,
    fingerprint: str,
    device: torch.device,
    attributes: Mapping[str, str],
    trainer: Trainer = PLAIN,
) -> None:
    """Train the autoencoder on the fields of ``training`` and write it to ``target``.

    ``architecture`` has latent_channels, width, depth and downsample; ``latent_noise`` is the
    standard deviation of the noise on the latents before they are standardised.
    """
    torch.manual_seed(seed)
    model = Autoencoder(*training.shape, **architecture)
    weights = torch.from_numpy(_area(training)).float().to(device)

    def read(indices: np.ndarray) -> Tensor:
        return torch.from_numpy(training.batch(indices, 1)[:, 0])

    def error(net: nn.Module, x: Tensor, draws: Draws) -> Tensor:
        noise = latent_noise * draws.normal(*model.latent_shape, device=device)
        return reconstruction_loss(net, x, weights, noise)

    def loss(net: nn.Module, x: Tensor, draws: Draws) -> Tensor:
        return error(net, rolled(x, draws) if settings.roll_longitude else x, draws)

    chosen = spread_out(np.arange(len(validation.fields)))

    def check(net: nn.Module) -> float:
        def measure(part: np.ndarray, number: int) -> float:
            x = torch.from_numpy(validation.batch(part, 1)[:, 0]).to(device)
            return float(error(net, x, Draws(len(x), seed, number, "validation")))

        return averaged(chosen, measure)

    _, curve, card = train(
        model,
        read,
        loss,
        check,
        samples=len(training.fields),
        settings=settings,
        seed=seed,
        folder=checkpoints,
        fingerprint=fingerprint,
        device=device,
        trainer=trainer,
    )
    if world.rank():
        return  # the first process writes
    model.standardise(training)
    write_autoencoder(target, model.cpu(), validation, curve, card, attributes)


def _area(store: Store) -> np.ndarray:
    """Area weights (latitude, 1) of mean 1."""
    rows = store.shape[1]
    return Grid(180 / rows).area_weights[:, None]


def train_prior(
    training: Store,
    validation: Store,
    target: Path,
    *,
    statistics: xr.Dataset,
    autoencoder: Autoencoder | PaperAutoencoder | None,
    window: int,
    step_hours: float,
    parameterisation: str = "karras",
    architecture: Mapping[str, Any],
    settings: Settings,
    seed: int,
    checkpoints: Path,
    fingerprint: str,
    device: torch.device,
    attributes: Mapping[str, str],
    trainer: Trainer = PLAIN,
) -> None:
    """Train a diffusion prior over windows of ``training`` and write it to ``target``.

    The stores hold fields, or latents with the ``autoencoder`` they come from; ``architecture``
    has width, blocks and embedding. ``parameterisation`` says what the network predicts: karras
    (:class:`slams.prior.Denoiser`, which has modes and joint_modes beside) or eps
    (:class:`slams.paper.denoiser.EpsDenoiser`).
    """
    starts = training.starts(window, step_hours)
    checked = validation.starts(window, step_hours)
    if not len(checked):
        raise SlamsError(f"periods.validation holds no window of {window} steps: widen it")
    checked = spread_out(checked)
    torch.manual_seed(seed)
    longitude = not settings.roll_longitude
    model: Denoiser | EpsDenoiser
    base: GaussianBase | None = None
    if parameterisation == "eps":
        parts = {k: v for k, v in architecture.items() if k not in ("modes", "joint_modes")}
        model = EpsDenoiser(window, *training.shape, **parts, longitude=longitude)
    elif parameterisation == "karras":
        model = Denoiser(window, *training.shape, **architecture, longitude=longitude)
        base = model.base
    else:
        raise SlamsError(f"prior: parameterisation {parameterisation!r} is not karras or eps")
    if base is not None:
        windows_of = (training, starts, validation, checked)
        _fit_base(base, windows_of, checkpoints / "base.pt", fingerprint, device)

    measure = eps_loss if parameterisation == "eps" else denoising_loss

    def windows(store: Store, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        season = torch.from_numpy(year_fraction(store.times[chosen])).float()
        return torch.from_numpy(store.batch(chosen, window)), season

    def read(indices: np.ndarray) -> tuple[Tensor, Tensor]:
        return windows(training, starts[indices])

    def loss(net: nn.Module, data: tuple[Tensor, Tensor], draws: Draws) -> Tensor:
        x, season = data
        return measure(net, rolled(x, draws) if settings.roll_longitude else x, season, draws)

    def check(net: nn.Module) -> float:
        def measured(part: np.ndarray, number: int) -> float:
            x, season = (of_all.to(device) for of_all in windows(validation, part))
            return float(measure(net, x, season, Draws(len(x), seed, number, "validation")))

        return averaged(checked, measured)

    _, curve, card = train(
        model,
        read,
        loss,
        check,
        samples=len(starts),
        settings=settings,
        seed=seed,
        folder=checkpoints,
        fingerprint=fingerprint,
        device=device,
        constant=("base.",),
        trainer=trainer,
    )
    if world.rank():
        return  # the first process writes
    if base is not None:
        card |= {
            "base_radius_km": base.radius_km,
            "base_ridge": base.ridge,
            "base_share": base.share,
        }
    prior = Prior(model.cpu(), statistics, step_hours=step_hours, autoencoder=autoencoder)
    write_model(target, curve, card, attributes)
    with atomic(target) as temporary:
        prior.save(temporary)


def _fit_base(
    base: GaussianBase,
    windows: tuple[Store, np.ndarray, Store, np.ndarray],
    path: Path,
    fingerprint: str,
    device: torch.device,
) -> None:
    """Fit a prior's base, or take the one that ``path`` keeps of this very run.

    Of several processes the first fits it and the others read it.
    """
    if not world.rank() and not _read_base(base, path, fingerprint):
        base.fit(*windows)
        kept = {
            "fingerprint": fingerprint,
            "weights": base.state_dict(),
            "chosen": (base.radius_km, base.ridge, base.share),
        }
        with atomic(path) as temporary:
            weights.save(kept, temporary)
    world.wait(device)
    if world.rank() and not _read_base(base, path, fingerprint):
        raise SlamsError(f"{path}: not what the first process has written; is the folder shared?")


def _read_base(base: GaussianBase, path: Path, fingerprint: str) -> bool:
    """Set the base to the one kept in a file; returns whether it was there."""
    if not path.is_file():
        return False
    kept = cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
    if kept["fingerprint"] != fingerprint:
        return False
    base.load_state_dict(kept["weights"])
    base.radius_km, base.ridge, base.share = kept["chosen"]
    return True
