"""One training loop for every network: EMA, validation, checkpoints, resume.

A step's batch and its random numbers depend on the seed and the step's number alone, so a run
that was killed and goes on from its last checkpoint gives the same weights, bit for bit on one
CPU device, as a run that was never killed.
"""

import hashlib
import json
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from slams.errors import SlamsError
from slams.provenance import atomic

log = logging.getLogger(__name__)

# loss(model, indices, generator) -> scalar: the indices are those of the training samples.
Loss = Callable[[nn.Module, np.ndarray, torch.Generator], Tensor]


@dataclass(frozen=True)
class Settings:
    """How a network is trained; the keys of every ``training`` section of the configuration."""

    steps: int
    batch: int
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    warmup_steps: int = 50
    ema_decay: float = 0.999
    clip_norm: float = 1.0
    validate_every: int = 200
    checkpoint_every: int = 200
    precision: str = "32-true"
    roll_longitude: bool = False


def learning_rate(settings: Settings, step: int) -> float:
    """Linear warm-up, then half a cosine down to zero at the last step."""
    warm = min(1.0, (step + 1) / max(settings.warmup_steps, 1))
    return settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def batch_indices(count: int, batch: int, step: int, seed: int) -> np.ndarray:
    """The samples (batch,) of a step: every epoch is a new seeded shuffle of all ``count``."""
    positions = np.arange(step * batch, (step + 1) * batch)
    epochs = positions // count
    shuffles = {
        epoch: np.random.default_rng([seed, epoch]).permutation(count) for epoch in set(epochs)
    }
    return np.array([shuffles[e][p] for e, p in zip(epochs, positions % count, strict=True)])


def generator_of(seed: int, step: int, stream: str = "train") -> torch.Generator:
    """A CPU generator that depends on the seed, the step and the stream's name alone."""
    text = f"{seed}/{stream}/{step}".encode()
    number = int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
    return torch.Generator().manual_seed(number)


class _Stop:
    """Turns SIGTERM, a cluster's time limit, into an orderly end after the running step."""

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def watch(self) -> Iterator["_Stop"]:
        before = signal.signal(signal.SIGTERM, self._request)
        try:
            yield self
        finally:
            signal.signal(signal.SIGTERM, before)

    def _request(self, *_: object) -> None:
        self.requested = True


def _save(state: dict[str, Any], path: Path) -> None:
    with atomic(path) as temporary:
        torch.save(state, temporary)


def _load(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The checkpoint of this very run, or None where there is none or another run's."""
    if not path.is_file():
        return None
    state = cast(dict[str, Any], torch.load(path, map_location="cpu", weights_only=True))
    if state["fingerprint"] != fingerprint:
        log.info("checkpoint %s is of another configuration, code or data: starting anew", path)
        return None
    return state


def train(
    model: nn.Module,
    loss: Loss,
    validation_loss: Callable[[nn.Module], float],
    *,
    samples: int,
    settings: Settings,
    seed: int,
    folder: Path,
    fingerprint: str,
    device: torch.device,
) -> tuple[nn.Module, pd.DataFrame, dict[str, Any]]:
    """Train ``model`` in place; go on from the checkpoint in ``folder`` where there is one.

    ``loss`` gives the mean loss over the training samples of the indices it gets (of
    ``samples`` in all), with every random number from the generator it gets;
    ``validation_loss`` gives the loss over the validation period. ``fingerprint`` names
    configuration, code and data: a checkpoint with another one is not used. Returns the
    averaged model with the lowest validation loss, the loss curve (step, train_loss,
    validation_loss, seconds) and a card of facts about the run. Raises SlamsError where the
    loss is not finite: the last good checkpoint stays.
    """
    if samples < 1:
        raise SlamsError("periods.train holds no window of the length that `window` asks for")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"), _Stop().watch() as stop:
        return _run(
            model, loss, validation_loss, samples, settings, seed, folder, fingerprint, device, stop
        )


def _run(
    model: nn.Module,
    loss: Loss,
    validation_loss: Callable[[nn.Module], float],
    samples: int,
    settings: Settings,
    seed: int,
    folder: Path,
    fingerprint: str,
    device: torch.device,
    stop: _Stop,
) -> tuple[nn.Module, pd.DataFrame, dict[str, Any]]:
    fabric = Fabric(accelerator=device.type, devices=1, precision=cast(Any, settings.precision))
    model = model.to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
    wrapped, optimizer = fabric.setup(model, optimizer)
    path = folder / "checkpoint.pt"
    first, rows, best, seconds = 0, [], {"loss": math.inf, "step": 0, "model": None}, 0.0
    state = _load(path, fingerprint)
    if state is not None:
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        first, rows, best = state["step"], state["rows"], state["best"]
        seconds = state["seconds"]
        log.info("going on from step %d of %d", first, settings.steps)
    began = time.monotonic() - seconds
    recent: list[float] = []
    if state is not None:
        recent = state["recent"]
    progress = tqdm(
        range(first, settings.steps),
        initial=first,
        total=settings.steps,
        mininterval=10,
        unit="step",
    )
    for step in progress:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        indices = batch_indices(samples, settings.batch, step, seed)
        with fabric.autocast():
            value = loss(wrapped, indices, generator_of(seed, step))
        fabric.backward(value)
        number = float(value.detach())
        if not math.isfinite(number):
            raise SlamsError(
                f"training: the loss is {number} at step {step}; the checkpoint of step "
                f"{rows[-1]['step'] if rows else 0} stays in {folder}. Lower learning_rate or "
                "clip_norm of this network's training section"
            )
        fabric.clip_gradients(wrapped, optimizer, max_norm=settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        # A short run has not forgotten its random start after 1/(1 - decay) steps: warm the
        # average up, so that it covers at most the last tenth or so of the steps made.
        _update_average(average, model, min(settings.ema_decay, (1 + step) / (10 + step)))
        recent.append(number)
        done = step + 1
        if done % settings.validate_every == 0 or done == settings.steps:
            average.eval()
            with torch.no_grad():
                checked = validation_loss(average.module)
            rows.append(
                {
                    "step": done,
                    "train_loss": float(np.mean(recent)),
                    "validation_loss": checked,
                    "seconds": time.monotonic() - began,
                }
            )
            recent = []
            log.info(
                "step %(step)d: train %(train_loss).4f, validation %(validation_loss).4f", rows[-1]
            )
            progress.set_postfix(validation=f"{checked:.4f}")
            if checked < best["loss"]:
                copy = {k: v.detach().cpu().clone() for k, v in average.module.state_dict().items()}
                best = {"loss": checked, "step": done, "model": copy}
        if done % settings.checkpoint_every == 0 or done == settings.steps or stop.requested:
            _save(
                {
                    "fingerprint": fingerprint,
                    "step": done,
                    "model": model.state_dict(),
                    "average": average.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "rows": rows,
                    "recent": recent,
                    "best": best,
                    "seconds": time.monotonic() - began,
                },
                path,
            )
        if stop.requested:
            raise SystemExit(
                f"stopped by SIGTERM at step {done}; the same command goes on from there"
            )
    if best["model"] is None:
        raise SlamsError(f"training: no finite validation loss in {settings.steps} steps")
    model.load_state_dict(best["model"])
    card = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "best_step": best["step"],
        "validation_loss": best["loss"],
        "seconds": time.monotonic() - began,
        "device": str(device),
        "settings": asdict(settings),
        "fingerprint": fingerprint,
    }
    return model.eval(), pd.DataFrame(rows), card


def _update_average(average: AveragedModel, model: nn.Module, decay: float) -> None:
    average.multi_avg_fn = get_ema_multi_avg_fn(decay)
    average.update_parameters(model)


def fingerprint(settings: Any, inputs: list[str], code: str) -> str:
    """A short name for everything that determines a training run."""
    text = json.dumps([settings, inputs, code], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
