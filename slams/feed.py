"""The batches of a training, each read in a thread while those before it are trained on."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

Data = Any  # of a batch: a tensor or a tuple of tensors, with samples along the first axis
Read = Callable[[np.ndarray], Data]

AHEAD = 2  # batches; one more than keeps up evens out a reading that takes longer for once


class Feed:
    """Reads the batch of every step from ``first`` to ``last``, some steps ahead.

    ``indices`` gives the samples of a step. What a step reads depends on its number alone, so
    there is no position to keep. ``waited`` counts the seconds for which a step had to wait.
    """

    def __init__(
        self,
        read: Read,
        indices: Callable[[int], np.ndarray],
        first: int,
        last: int,
        device: torch.device,
    ) -> None:
        self._read, self._indices, self._device = read, indices, device
        self._next, self._last = first, last
        self.waited = 0.0

    def __enter__(self) -> "Feed":
        self._thread = ThreadPoolExecutor(1, "feed")
        self._coming: deque[Future[Data]] = deque()
        for _ in range(AHEAD):
            self._ask()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def take(self) -> Data:
        """The next step's batch, on the device."""
        if not self._coming:
            raise IndexError(f"no step after {self._last}")
        began = time.perf_counter()
        data = self._coming.popleft().result()
        self.waited += time.perf_counter() - began
        self._ask()
        if isinstance(data, Tensor):
            return data.to(self._device, non_blocking=True)
        return tuple(part.to(self._device, non_blocking=True) for part in data)

    def _ask(self) -> None:
        if self._next < self._last:
            self._coming.append(self._thread.submit(self._fetch, self._next))
            self._next += 1

    def _fetch(self, step: int) -> Any:
        data = self._read(self._indices(step))
        if self._device.type != "cuda":
            return data
        # Only from pinned memory can a copy to the GPU run beside its work.
        if isinstance(data, Tensor):
            return data.pin_memory()
        return tuple(part.pin_memory() for part in data)
