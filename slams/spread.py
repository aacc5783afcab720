"""The same function of many files: one after another here, or by the workers of a dask cluster.

The environment variable SLAMS_DASK_SCHEDULER names a running scheduler of `dask.distributed`, such
as tcp://node7:8786. The workers need this package and the same file system. Results come back in
order, whatever worker made them, so that files hold the same bits either way.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from slams.errors import SlamsError

SCHEDULER = "SLAMS_DASK_SCHEDULER"
WAIT = "30s"  # for the scheduler to answer
AHEAD = 2  # tasks a worker that are begun before their results are taken

Item = TypeVar("Item")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


def spread(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``function`` of every item, in the items' order, each when it is asked for.

    With a scheduler at most `AHEAD` results a worker are held at a time. What the function raises
    is raised here. Raises SlamsError where a scheduler is named and `distributed` is not
    installed, or the scheduler does not answer or has no workers.
    """
    address = os.environ.get(SCHEDULER, "")
    return _by_workers(address, function, items) if address else map(function, items)


def _by_workers(
    address: str, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    try:
        from distributed import Client  # noqa: PLC0415 - optional, and slow to import
    except ModuleNotFoundError as error:
        raise SlamsError(
            f"{SCHEDULER} is {address}, and distributed is not installed: pip install distributed, "
            "or unset it"
        ) from error
    try:
        client = Client(address, timeout=WAIT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise SlamsError(
            f"{SCHEDULER} is {address}: no scheduler answers there ({error}); start one "
            "(dask scheduler), or unset it"
        ) from error
    with client:
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        if not workers:
            raise SlamsError(f"{SCHEDULER} is {address}: it has no workers; start some")
        log.info("dask: %d workers of %s", workers, address)
        pending = iter(items)
        begun = deque(
            # Not pure: a file may have changed since the same function of it was last asked for.
            client.submit(function, item, pure=False)
            for item in islice(pending, AHEAD * workers)
        )
        while begun:
            result: Result = begun.popleft().result()
            begun.extend(client.submit(function, item, pure=False) for item in islice(pending, 1))
            yield result
