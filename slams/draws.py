"""Random numbers of a training step: by seed, step and place in the batch, whoever draws them.

A sample's noise comes from a generator of its own, so it is the same whether one process holds the
whole batch or each of several its share.
"""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor


def seed_of(*parts: object) -> int:
    """A seed below 2^56 that depends on all of the parts, and on nothing else."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")


class Draws:
    """The random numbers of one share of a batch.

    ``batch`` counts the samples of the whole batch, of which ``share`` are drawn for here;
    ``stream`` tells apart what is drawn at the same step for other ends.
    """

    def __init__(
        self,
        batch: int,
        seed: int,
        step: int = 0,
        stream: str = "train",
        share: slice = slice(None),
    ) -> None:
        self.batch, self.share = batch, share
        self._key = (seed, stream, step)
        self._common = torch.Generator().manual_seed(seed_of(*self._key))
        self._own: dict[torch.device, list[torch.Generator]] = {}

    def few(self, draw: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """This share of ``draw(batch, generator)``, which gives a number or so a sample.

        It is drawn for the whole batch, on the CPU.
        """
        return draw(self.batch, self._common)[self.share]

    def normal(self, *shape: int, device: torch.device | str = "cpu") -> Tensor:
        """Standard normal numbers (share, *shape), drawn on ``device``."""
        device = torch.device(device)
        if device not in self._own:
            places = range(self.batch)[self.share]
            self._own[device] = [
                torch.Generator(device).manual_seed(seed_of(*self._key, place)) for place in places
            ]
        drawn = [torch.randn(shape, generator=g, device=device) for g in self._own[device]]
        return torch.stack(drawn)
