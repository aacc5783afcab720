"""What a killed run leaves behind: its locks and the logs of its failures.

Snakemake's lock files outlive a ``kill -9`` and then refuse every later call. A call of ours
also holds a kernel lock, which dies with its process: where nobody holds it, Snakemake's lock
files are stale and are removed. Calls that run at the same time share it, so that Snakemake's
own locks still keep them from writing the same files.
"""

import fcntl
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from slams.job import error_in

_held: list[int] = []  # file descriptors, open as long as this process lives
_began = time.time()


def clear_stale(folder: Path) -> bool:
    """Remove the lock files in ``folder`` (``.snakemake``) if no live call holds them.

    Returns whether there were any. Holds the kernel lock until this process ends.
    """
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / "alive", os.O_RDWR | os.O_CREAT, 0o644)
    _held.append(descriptor)
    stale = False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # another call is alive: its locks are in force
    else:
        locks = folder / "locks"
        stale = locks.is_dir() and any(locks.iterdir())
        if stale:
            shutil.rmtree(locks)
            sys.stderr.write("Removed the lock of a run that was killed; going on from there.\n")
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return stale


def only_looks(arguments: Sequence[str]) -> bool:
    """Whether a call of snakemake with these arguments runs no job, so that nothing may change.

    Snakemake itself says so only after it has read the rules.
    """
    looking = {"dry-run", "dryrun", "lint", "list", "list-rules", "list-target-rules", "summary"}
    looking |= {"detailed-summary", "dag", "rulegraph", "filegraph", "d3dag", "report", "version"}
    return any(
        argument[2:].partition("=")[0] in looking
        if argument.startswith("--")
        else re.fullmatch(r"-[FRkpq]*[nlSD][FRkpqn]*", argument) is not None
        for argument in arguments
    )


def has_profile(arguments: Sequence[str]) -> bool:
    """Whether a call of snakemake with these arguments names a profile of its own."""
    given = re.findall(r"(?:^|\0)--(?:workflow-)?profile[=\0]([^\0]*)", "\0".join(arguments))
    return any(name != "none" for name in given)


def failures(logs: Path) -> list[str]:
    """The error messages in the log files that were written since this process began."""
    found = []
    for path in sorted(logs.rglob("*.log")):
        if path.stat().st_mtime >= _began - 1:
            error = error_in(path)
            if error:
                found.append(f"{path}: {error}")
    return found
