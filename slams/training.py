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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout
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
        epoch: np.random.default_rng([seed, int(epoch)]).permutation(count)
        for epoch in set(epochs.tolist())
    }
    return np.array(
        [
            shuffles[epoch][place]
            for epoch, place in zip(epochs.tolist(), positions % count, strict=True)
        ]
    )


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
    loss or its gradient is not finite: the last good checkpoint stays. SIGTERM ends it after the
    running step, with a checkpoint and SystemExit.
    """
    if samples < 1:
        raise SlamsError("periods.train holds no window of the length that `window` asks for")
    folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder), _Stop().watch() as stop:
        run = _Run(model, settings, device, folder, fingerprint)
        run.resume()
        for step in _progress(run.done, settings.steps):
            indices = batch_indices(samples, settings.batch, step, seed)
            run.step(loss, indices, generator_of(seed, step))
            if run.done % settings.validate_every == 0 or run.done == settings.steps:
                run.validate(validation_loss)
            if run.done % settings.checkpoint_every == 0 or stop.requested:
                run.save()
            if stop.requested:
                raise SystemExit(
                    f"stopped by SIGTERM at step {run.done}; the same command goes on from there"
                )
        run.save()
        return run.best_model(), pd.DataFrame(run.rows), run.card(seed)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder of checkpoints; an orphan of a killed call may still train in it."""
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process trains in %s; waiting for it", folder)
        lock.acquire()
    try:
        for partial in folder.glob(".checkpoint.partial-*"):
            partial.unlink()  # of a process that was killed while it wrote
        yield
    finally:
        lock.release()


def _progress(first: int, steps: int) -> Iterable[int]:
    return tqdm(
        range(first, steps), initial=first, total=steps, mininterval=10, unit="step", leave=False
    )


class _Run:
    """The state of a training run: everything that a checkpoint holds."""

    def __init__(
        self,
        model: nn.Module,
        settings: Settings,
        device: torch.device,
        folder: Path,
        fingerprint: str,
    ) -> None:
        self.settings, self.device, self.fingerprint = settings, device, fingerprint
        self.path = folder / "checkpoint.pt"
        self.fabric = Fabric(
            accelerator=device.type, devices=1, precision=cast(Any, settings.precision)
        )
        self.model = model.to(device)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.average = AveragedModel(model)
        self.wrapped, self.optimizer = self.fabric.setup(model, optimizer)
        self.done, self.began = 0, time.monotonic()
        self.rows: list[dict[str, float]] = []
        self.recent: list[float] = []
        self.best_loss, self.best_step = math.inf, 0
        self.best_weights: dict[str, Tensor] | None = None

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one of this very run."""
        if not self.path.is_file():
            return
        state = cast(dict[str, Any], torch.load(self.path, map_location="cpu", weights_only=True))
        if state["fingerprint"] != self.fingerprint:
            log.info("%s is of another configuration, code or data: starting anew", self.path)
            return
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done, self.rows, self.recent = state["done"], state["rows"], state["recent"]
        self.best_loss, self.best_step = state["best_loss"], state["best_step"]
        self.best_weights = state["best_weights"]
        self.began = time.monotonic() - state["seconds"]
        log.info("going on from step %d of %d", self.done, self.settings.steps)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "fingerprint": self.fingerprint,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "done": self.done,
            "rows": self.rows,
            "recent": self.recent,
            "best_loss": self.best_loss,
            "best_step": self.best_step,
            "best_weights": self.best_weights,
            "seconds": time.monotonic() - self.began,
        }
        with atomic(self.path) as temporary:
            torch.save(state, temporary)

    def step(self, loss: Loss, indices: np.ndarray, generator: torch.Generator) -> None:
        """One optimiser step; SlamsError where the loss or its gradient is not finite."""
        settings, step = self.settings, self.done
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        with self.fabric.autocast():
            value = loss(self.wrapped, indices, generator)
        number = float(value.detach())
        self._check(number, "loss")
        self.fabric.backward(value)
        norm = self.fabric.clip_gradients(
            self.wrapped, self.optimizer, max_norm=settings.clip_norm, error_if_nonfinite=False
        )
        self._check(float(cast(Tensor, norm)), "gradient's norm")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        # A young average is warmed up, so that it covers only the last tenth or so of the steps
        # made and soon forgets the random start.
        decay = min(settings.ema_decay, (1 + step) / (10 + step))
        self.average.multi_avg_fn = get_ema_multi_avg_fn(decay)
        self.average.update_parameters(self.model)
        self.recent.append(number)
        self.done = step + 1

    def _check(self, number: float, quantity: str) -> None:
        if not math.isfinite(number):
            raise SlamsError(
                f"training: the {quantity} is {number} at step {self.done}; the last checkpoint "
                f"stays in {self.path.parent}. Lower learning_rate or clip_norm of this network's "
                "training section"
            )

    def validate(self, validation_loss: Callable[[nn.Module], float]) -> None:
        """Measure the averaged model; keep it if it is the best so far."""
        averaged = self.average.module.eval()
        with torch.no_grad():
            measured = validation_loss(averaged)
        self.rows.append(
            {
                "step": self.done,
                "train_loss": float(np.mean(self.recent)),
                "validation_loss": measured,
                "seconds": time.monotonic() - self.began,
            }
        )
        self.recent = []
        log.info(
            "step %(step)d: train %(train_loss).4f, validation %(validation_loss).4f", self.rows[-1]
        )
        if measured < self.best_loss:
            self.best_loss, self.best_step = measured, self.done
            self.best_weights = {
                name: value.detach().cpu().clone() for name, value in averaged.state_dict().items()
            }

    def best_model(self) -> nn.Module:
        """The model with the averaged weights of the lowest validation loss."""
        if self.best_weights is None:
            raise SlamsError(f"training: no finite validation loss in {self.done} steps")
        self.model.load_state_dict(self.best_weights)
        return self.model.eval()

    def card(self, seed: int) -> dict[str, Any]:
        """Facts about the run."""
        return {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "best_step": self.best_step,
            "validation_loss": self.best_loss,
            "seconds": round(time.monotonic() - self.began, 1),
            "device": str(self.device),
            "seed": seed,
            "settings": asdict(self.settings),
            "fingerprint": self.fingerprint,
        }


def fingerprint(settings: Any, inputs: list[str], code: str) -> str:
    """A short name for everything that determines a training run."""
    text = json.dumps([settings, inputs, code], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
