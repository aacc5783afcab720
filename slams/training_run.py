"""The state of a training run: everything that a checkpoint holds, and what changes it."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from slams import weights, world
from slams.compilation import compiled, told_by_compiler
from slams.draws import Draws
from slams.errors import SlamsError
from slams.feed import Data, Feed
from slams.progress import Progress
from slams.provenance import atomic
from slams.stop import Stop
from slams.trainer import PLAIN, Trainer, fabric, named

log = logging.getLogger(__name__)

LOGGED = 10  # steps from one entry of TensorBoard to the next
# loss(model, data, draws) -> scalar: the mean over the samples that the data are of.
Loss = Callable[[nn.Module, Data, Draws], Tensor]


@dataclass(frozen=True)
class Settings:
    """How a network is trained; the keys of every ``training`` section of the configuration."""

    steps: int
    batch: int
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    weight_decay: float = 1e-3
    warmup_steps: int = 50
    ema_decay: float = 0.999
    clip_norm: float = 1.0
    validate_every: int = 200
    checkpoint_every: int = 200
    precision: str = "32-true"
    roll_longitude: bool = False


class Run:
    """A run, from its start or its checkpoint; :func:`slams.training.train` takes its steps."""

    def __init__(
        self,
        model: nn.Module,
        settings: Settings,
        device: torch.device,
        folder: Path,
        fingerprint: str,
        constant: tuple[str, ...] = (),
        trainer: Trainer = PLAIN,
    ) -> None:
        self.settings, self.device, self.fingerprint = settings, device, fingerprint
        self.path, self.constant = folder / "checkpoint.pt", constant
        self.fabric = fabric(trainer, device, settings.precision, folder)
        self.model = model.to(device)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.average = AveragedModel(model)
        self.compiled = trainer.compile
        network = compiled(model) if trainer.compile else model
        # The constant buffers are everywhere the same, and may be large.
        buffers = [name for name, _ in network.named_buffers() if self._constant(name)]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(network, buffers)
        # Compiled is what the processes share the gradients of, not the other way round.
        self.wrapped, self.optimizer = self.fabric.setup(network, optimizer, _reapply_compile=False)
        self.done, self.saved, self.began = 0, 0, time.monotonic()
        self.stepped, self.waited = 0.0, 0.0  # seconds in steps; of these, waiting for data
        self.rows: list[dict[str, float]] = []
        self.recent: list[float] = []
        self.best_loss, self.best_step = math.inf, 0
        self.best_weights: dict[str, Tensor] | None = None
        self.random = _random_state(device)
        # Held while anything that a checkpoint holds changes: see rescue.
        self._changing = threading.RLock()
        self._in_step = False

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one of this very run."""
        if not self.path.is_file():
            return
        state = cast(dict[str, Any], torch.load(self.path, map_location="cpu", weights_only=True))
        if state["fingerprint"] != self.fingerprint:
            log.info("%s is of another configuration, code or data: starting anew", self.path)
            return
        self._load(self.model, state["model"])
        self._load(self.average.module, state["average"])
        self.average.n_averaged.fill_(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done, self.rows, self.recent = state["done"], state["rows"], state["recent"]
        self.best_loss, self.best_step = state["best_loss"], state["best_step"]
        self.best_weights = state["best_weights"]
        self.stepped, self.waited = state["stepped"], state["waited"]
        self.saved, self.began = self.done, time.monotonic() - state["seconds"]
        self.random = state["random"]
        _set_random_state(self.random, self.device)
        log.info("going on from step %d of %d", self.done, self.settings.steps)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all; the first process alone does."""
        if world.rank():
            return
        with self._changing:
            state = {
                "fingerprint": self.fingerprint,
                "model": self._changed(self.model),
                "average": self._changed(self.average.module),
                "averaged": int(self.average.n_averaged),
                "optimizer": self.optimizer.state_dict(),
                "done": self.done,
                "rows": self.rows,
                "recent": self.recent,
                "best_loss": self.best_loss,
                "best_step": self.best_step,
                "best_weights": self.best_weights,
                "random": self.random,
                "stepped": self.stepped,
                "waited": self.waited,
                "seconds": time.monotonic() - self.began,
            }
            with atomic(self.path) as temporary:
                weights.save(state, temporary)
            self.saved = self.done
            for logger in self.fabric.loggers:
                logger.save()

    def rescue(self) -> str:
        """Save the last step made while another is going on, or a validation; say where it is."""
        with self._changing:
            # A step changes what batch normalisation has measured before it is over.
            unsound = self._in_step and any(isinstance(m, _BatchNorm) for m in self.model.modules())
            if not unsound and self.saved < self.done:
                self.save()
            return f"the same command goes on from step {self.saved}"

    def step(self, loss: Loss, feed: Feed, draws: Draws, rate: float, stop: Stop) -> bool:
        """One optimiser step at learning rate ``rate``; returns whether it is to be the last.

        Raises SlamsError where the loss or its gradient is not finite.
        """
        began, waited = time.perf_counter(), feed.waited
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self._in_step = True
        data = feed.take()
        with told_by_compiler(), self.fabric.autocast():
            value = loss(self.wrapped, data, draws)
        with told_by_compiler():
            self.fabric.backward(value)
        norm = self.fabric.clip_gradients(
            self.wrapped,
            self.optimizer,
            max_norm=self.settings.clip_norm,
            error_if_nonfinite=False,
        )
        # All that the host asks of the device in a step, at once; the norm is everyone's already.
        asked = torch.tensor([float(stop.requested)], dtype=torch.float64, device=self.device)
        told = world.summed(torch.cat([value.detach().double().view(1), asked]))
        told = torch.cat([told, cast(Tensor, norm).double().view(1)])
        total, stopped, size = told.tolist()
        number = total / world.size()
        self._check(number, "loss")
        self._check(size, "gradient's norm")
        with self._changing:
            self.optimizer.step()
            # A young average is warmed up, so that it covers only the last tenth or so of the
            # steps made and soon forgets the random start.
            decay = min(self.settings.ema_decay, (1 + self.done) / (10 + self.done))
            self.average.multi_avg_fn = get_ema_multi_avg_fn(decay)
            self.average.update_parameters(self.model)
            self.random = _random_state(self.device)
            self.recent.append(number)
            self.done += 1
            self.stepped += time.perf_counter() - began
            self.waited += feed.waited - waited
            self._in_step = False
        self.optimizer.zero_grad(set_to_none=True)
        if self.done % LOGGED == 0:
            self.fabric.log_dict({"train_loss": number, "learning_rate": rate}, self.done)
        return stopped > 0

    def _check(self, number: float, quantity: str) -> None:
        if not math.isfinite(number):
            raise SlamsError(
                f"training: the {quantity} is {number} at step {self.done}; the last checkpoint "
                f"stays in {self.path.parent}. Lower learning_rate or clip_norm of this network's "
                "training section"
            )

    @property
    def validation_due(self) -> bool:
        """Whether the last step asks for a validation that was not made."""
        last = self.rows[-1]["step"] if self.rows else 0
        every, steps = self.settings.validate_every, self.settings.steps
        return self.done > last and (self.done % every == 0 or self.done == steps)

    def validate(
        self, validation_loss: Callable[[nn.Module], float], progress: Progress, stop: Stop
    ) -> bool:
        """Measure the averaged model, keep it if it is the best so far; returns whether to stop."""
        averaged = self.average.module.eval()
        with torch.no_grad():
            part = validation_loss(averaged)
        told = torch.tensor([part, float(stop.requested)], dtype=torch.float64, device=self.device)
        measured, stopped = world.summed(told).tolist()
        with self._changing:
            self.rows.append(
                {
                    "step": self.done,
                    "train_loss": float(np.mean(self.recent)),
                    "validation_loss": measured,
                    "seconds": time.monotonic() - self.began,
                }
            )
            self.recent = []
            if measured < self.best_loss:
                self.best_loss, self.best_step = measured, self.done
                self.best_weights = {
                    name: value.detach().cpu().clone()
                    for name, value in self._changed(averaged).items()
                }
        row = self.rows[-1]
        self.fabric.log("validation_loss", measured, self.done)
        progress.line(
            f"train {row['train_loss']:.4f}, validation {measured:.4f}, "
            f"{self.waiting:.1%} waiting for data"
        )
        return stopped > 0

    @property
    def waiting(self) -> float:
        """The share of a step that was spent on waiting for data."""
        return self.waited / self.stepped if self.stepped else 0.0

    @property
    def rate(self) -> float:
        """Samples a second in steps, validation and checkpoints apart."""
        return self.done * self.settings.batch / self.stepped if self.stepped else 0.0

    def best_model(self) -> nn.Module:
        """The model with the averaged weights of the lowest validation loss."""
        if self.best_weights is None:
            raise SlamsError(f"training: no finite validation loss in {self.done} steps")
        self._load(self.model, self.best_weights)
        return self.model.eval()

    def card(self, seed: int) -> dict[str, Any]:
        """Facts about the run."""
        return {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "best_step": self.best_step,
            "validation_loss": self.best_loss,
            "seconds": round(time.monotonic() - self.began, 1),
            "samples_per_second": round(self.rate, 3),
            "waiting_for_data": round(self.waiting, 4),
            "device": named(self.device),
            "processes": world.size(),
            "compiled": self.compiled,
            "torch": str(torch.__version__),
            "network": type(self.model).__name__,
            "architecture": getattr(self.model, "settings", {}),
            "seed": seed,
            "settings": asdict(self.settings),
            "fingerprint": self.fingerprint,
        }

    def _changed(self, module: nn.Module) -> dict[str, Tensor]:
        """A network's weights and buffers, but for the constant ones."""
        state = cast(Mapping[str, Tensor], module.state_dict())
        return {name: value for name, value in state.items() if not self._constant(name)}

    def _constant(self, name: str) -> bool:
        own = name.removeprefix("_orig_mod.")  # so torch.compile calls them
        return any(own.startswith(beginning) for beginning in self.constant)

    def _load(self, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
        module.load_state_dict({**module.state_dict(), **weights})


def _random_state(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's own generators, which a network may draw from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
