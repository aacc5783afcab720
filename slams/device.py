"""Which devices a job takes; never more jobs at once on one GPU than the configuration lets.

Snakemake's ``gpu`` resource is only a counter, and unlimited unless the command line limits it.
Lock files of a device, each held as long as a job runs and released by the kernel when it dies,
keep others off a GPU in any case.
"""

import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from slams.errors import ConfigError

log = logging.getLogger(__name__)

POLL = 0.2  # seconds between two looks at GPUs that other jobs have


def choose(device: str = "auto") -> torch.device:
    """The kind of torch device of the configuration key ``device``: auto, cpu or cuda.

    Raises ConfigError where cuda is asked for and no GPU is to be seen.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device: {device!r} is not auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda, but torch sees no GPU here; set auto or cpu")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def claim(device: str = "auto", jobs: int = 1) -> Iterator[torch.device]:
    """Hold a device for the duration of a block; where every GPU is taken, wait for one.

    A GPU is taken when it has so many ``jobs``. Says in the log which device was taken.
    """
    with claim_several(device, 1, jobs) as (taken,):
        yield taken


@contextmanager
def claim_several(device: str, count: int, jobs: int = 1) -> Iterator[list[torch.device]]:
    """Hold ``count`` devices for the duration of a block; the CPU counts as any number.

    Each GPU has room for so many ``jobs``, whose calls must say the same.

    Raises ConfigError where there are fewer GPUs.
    """
    if choose(device).type == "cpu":
        log.info("device: cpu, %d threads", torch.get_num_threads())
        yield [torch.device("cpu")] * count
        return
    seen = torch.cuda.device_count()
    if count > seen:
        raise ConfigError(f"trainer.devices: {count}, but torch sees {seen} GPU(s) here")
    with ExitStack() as stack:
        yield sorted(_collect(stack, seen, count, jobs), key=lambda taken: taken.index or 0)


def _collect(stack: ExitStack, seen: int, count: int, jobs: int) -> list[torch.device]:
    """Take ``count`` of the GPUs, each as soon as it has room; ``stack`` gives them back."""
    devices = [torch.device("cuda", number) for number in range(seen)]
    # One job at a time collects: two that hold a part each would wait for each other for ever.
    with _lock("collect"):
        taken: list[torch.device] = []
        waited = False
        while True:
            # The first place of every GPU before the second of one.
            for place, device in product(range(jobs), devices):
                name = str(torch.cuda.get_device_properties(device).uuid)
                lock = _lock(f"{name}-{place}" if place else name)
                if device in taken or not _free(lock):
                    continue
                stack.callback(lock.release)
                taken.append(device)
                log.info("device: %s, %s", device, torch.cuda.get_device_name(device))
                if len(taken) == count:
                    return taken
            if not waited:
                log.info("device: too few of %d GPUs are free; waiting for another job", seen)
                waited = True
            time.sleep(POLL)


def _free(lock: FileLock) -> bool:
    """Whether a lock was free; it is held now."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _lock(name: str) -> FileLock:
    return FileLock(Path(tempfile.gettempdir()) / f"slams-gpu-{os.getuid()}-{name}.lock")
