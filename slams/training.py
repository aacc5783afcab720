"""One training loop for every network: EMA, validation, checkpoints, resume, several devices.

A step's batch and its random numbers depend on the seed and the step's number alone, so a run
that was killed and goes on from its last checkpoint gives the same weights, bit for bit on one
CPU device, as a run that was never killed. Where several processes train together
(:mod:`slams.world`) each takes its share of the same batch, and the numbers are the same again,
but for the order in which sums are rounded.
"""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from slams import world
from slams.draws import Draws
from slams.errors import SlamsError
from slams.feed import Feed, Read
from slams.progress import Progress
from slams.stop import Stop
from slams.trainer import PLAIN, Trainer
from slams.training_run import Loss, Run, Settings

log = logging.getLogger(__name__)


def learning_rate(settings: Settings, step: int) -> float:
    """Linear warm-up, times half a cosine or a straight line down to zero after the last step."""
    warm = min(1.0, (step + 1) / max(settings.warmup_steps, 1))
    done = step / settings.steps
    if settings.schedule == "linear":
        return settings.learning_rate * warm * (1 - done)
    if settings.schedule == "cosine":
        return settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * done))
    raise SlamsError(f"training.schedule: {settings.schedule!r} is not cosine or linear")


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


def train(
    model: nn.Module,
    read: Read,
    loss: Loss,
    validation_loss: Callable[[nn.Module], float],
    *,
    samples: int,
    settings: Settings,
    seed: int,
    folder: Path,
    fingerprint: str,
    device: torch.device,
    constant: tuple[str, ...] = (),
    trainer: Trainer = PLAIN,
) -> tuple[nn.Module, pd.DataFrame, dict[str, Any]]:
    """Train ``model`` in place; go on from the checkpoint in ``folder`` where there is one.

    ``read`` gives the data of training samples (of ``samples`` in all), on the CPU and in another
    thread; ``loss`` their mean loss, with every random number from the draws it gets.
    ``validation_loss`` gives the loss over the validation period, or where several processes train
    together this one's part of it: their sum is the loss. ``fingerprint`` names configuration,
    code and data: a checkpoint with another one is not used. ``constant`` are the beginnings of
    the names of buffers that no training changes and the caller has set: checkpoints leave them
    out.

    Returns the averaged model with the lowest validation loss, the loss curve (step, train_loss,
    validation_loss, seconds) and a card of facts about the run. Raises SlamsError where the loss
    or its gradient is not finite: the last good checkpoint stays. SIGTERM ends it after the
    running step, with a checkpoint and SystemExit; where that step lasts, the checkpoint is of
    the step before it.
    """
    if samples < 1:
        raise SlamsError("periods.train holds no window of the length that `window` asks for")
    _check_shares(model, settings.batch)
    with _alone_in(folder, device):
        run = Run(model, settings, device, folder, fingerprint, constant, trainer)
        run.resume()
        with Stop(run.rescue).watch() as stop:
            _walk(run, read, loss, validation_loss, stop, samples, seed)
            run.save()
        return run.best_model(), pd.DataFrame(run.rows), run.card(seed)


def _walk(
    run: Run,
    read: Read,
    loss: Loss,
    validation_loss: Callable[[nn.Module], float],
    stop: Stop,
    samples: int,
    seed: int,
) -> None:
    """Take the steps that are left, with their validations and checkpoints."""
    settings = run.settings
    mine = world.share(settings.batch)

    def indices(step: int) -> np.ndarray:
        return batch_indices(samples, settings.batch, step, seed)[mine]

    feed = Feed(read, indices, run.done, settings.steps, run.device)
    with feed, Progress(run.done, settings.steps) as progress:
        while run.done < settings.steps or run.validation_due:
            if run.validation_due:
                stopped = run.validate(validation_loss, progress, stop)
            else:
                draws = Draws(settings.batch, seed, run.done, share=mine)
                rate = learning_rate(settings, run.done)
                stopped = run.step(loss, feed, draws, rate, stop)
                progress.step(run.recent[-1])
            if stopped:
                run.save()
                raise SystemExit(
                    f"stopped by SIGTERM at step {run.done}; the same command goes on from there"
                )
            if run.done % settings.checkpoint_every == 0 and not run.validation_due:
                run.save()


def _check_shares(model: nn.Module, batch: int) -> None:
    """Raises SlamsError where several processes would not give what one gives."""
    size = world.size()
    if size > 1 and batch % size:
        raise SlamsError(
            f"training: a batch of {batch} is not shared evenly by {size} devices; change batch of "
            "this network's training section, or trainer.devices and trainer.nodes"
        )
    if size > 1 and any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise SlamsError(
            "training: batch normalisation of a share of the batch is not that of the batch; train "
            "this network on one device"
        )


@contextmanager
def _alone_in(folder: Path, device: torch.device) -> Iterator[None]:
    """Hold the folder of checkpoints; an orphan of a killed call may still train in it."""
    if world.rank():
        world.wait(device)
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process trains in %s; waiting for it", folder)
        lock.acquire()
    try:
        for partial in folder.glob(".*.partial-*"):
            partial.unlink()  # of a process that was killed while it wrote
        world.wait(device)
        yield
    finally:
        lock.release()


def fingerprint(settings: Any, inputs: list[str], code: str) -> str:
    """A short name for everything that determines a training run."""
    text = json.dumps([settings, inputs, code], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
