"""Long trajectories put together as the paper's are.

A step comes from the one window in whose middle it stands; the first and the last steps, which
stand in the middle of none, from the first and the last window (Rozet and Louppe 2023,
arXiv 2306.10574, Algorithm 2). The score and the denoiser of a step are affine in one another, so
that it does not matter which of the two is put together.
"""

import torch
from torch import Tensor

from slams.composition import Composed


class Chain(Composed):
    """A state space of more steps than the prior's window.

    See :class:`~slams.composition.Composed`. The prior must be one without a linear-Gaussian base,
    as the paper's are.
    """

    def shares(self, window: slice) -> Tensor:
        """One for the steps (step,) that a window gives, else zero."""
        middle = self.length // 2
        first = 0 if window.start == 0 else middle
        last = self.length if window.stop == self.steps else middle + 1
        step = torch.arange(self.length)
        return ((step >= first) & (step < last)).double()
