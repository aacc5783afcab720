"""One process or thread at a time at a file: who comes second waits, and finds it whole."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def turn(target: Path) -> Iterator[None]:
    """Have a target to oneself, among all who ask for it in this way on this machine.

    A kernel lock, which a killed process leaves to the next, on `.<name>.lock` beside the target,
    which is gone afterwards. Who had to wait should look whether the target is there by now.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    path = target.with_name(f".{target.name}.lock")
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("%s: another process is at it; waiting", target)
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _still_there(path, file.fileno()):
                continue  # removed by the one before us: others meet at a new one
            try:
                yield
                return
            finally:
                path.unlink(missing_ok=True)


def _still_there(path: Path, descriptor: int) -> bool:
    """Whether a path still names the open file."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
