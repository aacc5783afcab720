"""Which device a job takes; never two jobs at once on one GPU.

Snakemake's ``gpu`` resource is only a counter, and unlimited unless the command line limits it.
A lock file a device, held as long as the job runs and released by the kernel when it dies,
keeps two jobs off one GPU in any case.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from slams.errors import ConfigError

log = logging.getLogger(__name__)


def choose(device: str = "auto") -> torch.device:
    """The torch device of the configuration key ``device``: auto, cpu or cuda.

    Raises ConfigError where cuda is asked for and no GPU is to be seen.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device: {device!r} is not auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda, but torch sees no GPU here; set auto or cpu")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def claim(device: str = "auto") -> Iterator[torch.device]:
    """Hold a device for the duration of a block; on a GPU, wait for another job to leave it.

    Says in the log which device was taken.
    """
    taken = choose(device)
    if taken.type == "cpu":
        log.info("device: cpu, %d threads", torch.get_num_threads())
        yield taken
        return
    identifier = str(torch.cuda.get_device_properties(taken).uuid)
    lock = FileLock(Path(tempfile.gettempdir()) / f"slams-gpu-{os.getuid()}-{identifier}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("device: %s is taken by another job; waiting", torch.cuda.get_device_name(taken))
        lock.acquire()
    try:
        log.info("device: cuda, %s", torch.cuda.get_device_name(taken))
        yield taken
    finally:
        lock.release()
