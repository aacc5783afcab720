"""Windows of the training period as a sample of what the state may be.

Their departures from the climatology are the prior of both :mod:`oi` (by their covariance) and
:mod:`letkf` (as analogues), and what every stream would have seen of them, their images, tells
how observations and state vary together, whether or not an operator is linear.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from slams.cases import climate
from slams.errors import SlamsError
from slams.statistics import Normalisation
from slams.store import Store

LEAST = 8  # windows that are called a sample
FIELDS_AT_ONCE = 64  # that go through the operators


class Sample:
    """At most ``count`` windows of ``steps`` fields, spread evenly over a store.

    ``starts`` (n,) are where they begin. Raises SlamsError where the store has fewer than LEAST
    of them.
    """

    def __init__(
        self,
        store: Store,
        normalisation: Normalisation,
        *,
        steps: int,
        step_hours: float,
        count: int,
    ) -> None:
        every = store.starts(steps, step_hours)
        if min(len(every), count) < LEAST:
            raise SlamsError(
                f"classical.samples: {count} are asked for, and periods.train holds {len(every)} "
                f"windows of {steps} steps; covariances need {LEAST} or more: widen the period"
            )
        chosen = np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)
        self.starts = every[chosen]
        self.store, self.normalisation, self.steps = store, normalisation, steps
        dataset = normalisation.dataset
        self.about_climatology = np.array_equal(
            dataset["reference"].values, dataset["climatology"].values
        )

    def __len__(self) -> int:
        return len(self.starts)

    def _climate(self, start: int) -> np.ndarray | float:
        """The climatology of a window, normalised; zero where it is what the store subtracts."""
        if self.about_climatology:
            return 0.0
        return climate(self.normalisation, self.store.times[start : start + self.steps])

    def windows(self) -> Iterator[Tensor]:
        """Departures from the climatology (k, step, level, latitude, longitude), some at a time."""
        for part in np.array_split(self.starts, -(-len(self) * self.steps // FIELDS_AT_ONCE)):
            fields = self.store.batch(part, self.steps)
            yield torch.from_numpy(
                np.stack([f - self._climate(s) for f, s in zip(fields, part, strict=True)])
            ).float()

    def band(self, rows: slice) -> Tensor:
        """Departures (n, step, level, row, longitude) in some rows of the grid.

        Only these rows are read from the memory map.
        """
        fields = self.store.fields[:, :, rows]
        if not self.about_climatology:
            return torch.cat([window[:, :, :, rows] for window in self.windows()])
        return torch.from_numpy(fields[self.starts[:, None] + np.arange(self.steps)])

    def images(self, predict: Callable[[Tensor], Tensor], about: np.ndarray) -> Tensor:
        """H(about + departure) - H(about) of every window, (n, ...).

        ``predict`` is H, of normalised fields (batch, step, level, latitude, longitude);
        ``about`` (step, level, latitude, longitude) is a case's climatology.
        """
        base = torch.from_numpy(about).float()[None]
        with torch.no_grad():
            middle = predict(base)
            return torch.cat([predict(base + window) - middle for window in self.windows()])
