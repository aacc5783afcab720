"""The processes that train one network together: which one this is, and what they share.

Alone, unless the process has joined a group of torch.distributed (:mod:`slams.ranks`).
"""

import torch
from torch import Tensor, distributed


def _joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    """This process's number; 0 writes the files."""
    return distributed.get_rank() if _joined() else 0


def size() -> int:
    """How many processes there are."""
    return distributed.get_world_size() if _joined() else 1


def share(count: int) -> slice:
    """This process's part of ``count`` samples, which its size divides."""
    part = count // size()
    return slice(rank() * part, (rank() + 1) * part)


def summed(values: Tensor) -> Tensor:
    """The sum of ``values`` over the processes, in all of them; they lie on their devices."""
    if not _joined():
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total


def wait(device: torch.device) -> None:
    """Wait until all of the processes are here."""
    if _joined():
        summed(torch.zeros(1, device=device)).tolist()
