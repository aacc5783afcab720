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

CPU = torch.device("cpu")
LEAST = 8  # windows that are called a sample
FIELDS_AT_ONCE = 64  # that go through the operators
COMPARED = 200  # windows that are enough to compare observations by


class Sample:
    """At most ``count`` windows of ``steps`` fields, spread evenly over a store.

    With ``rotations`` every window counts so many times, each time turned about the axis by other
    columns, drawn from ``seed``: on a planet without continents the weather of one longitude is
    that of every other, and the sample so many times as large. ``starts`` (n,) are where windows
    begin, ``turns`` (n,) by how many columns they are turned. What is computed of them is computed
    on ``device``. Raises SlamsError where the store has
    fewer than LEAST of them.
    """

    def __init__(
        self,
        store: Store,
        normalisation: Normalisation,
        *,
        steps: int,
        step_hours: float,
        count: int,
        rotations: int = 0,
        seed: int = 0,
        device: torch.device = CPU,
    ) -> None:
        every = store.starts(steps, step_hours)
        if min(len(every), count) < LEAST:
            raise SlamsError(
                f"classical.samples: {count} are asked for, and periods.train holds {len(every)} "
                f"windows of {steps} steps; covariances need {LEAST} or more: widen the period"
            )
        chosen = np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)
        self.starts = np.repeat(every[chosen], max(1, rotations))
        self.turns = _turns(len(chosen), rotations, store.shape[2], seed)
        self.store, self.normalisation, self.steps = store, normalisation, steps
        self.device = device
        # What was found out about some cells' departures, by these cells: cases share it.
        self.known: dict[bytes, dict[str, Tensor]] = {}
        dataset = normalisation.dataset
        self.about_climatology = np.array_equal(
            dataset["reference"].values, dataset["climatology"].values
        )

    def __len__(self) -> int:
        return len(self.starts)

    def windows(self) -> Iterator[Tensor]:
        """Departures from the climatology (k, step, level, latitude, longitude), some at a time."""
        parts = -(-len(self) * self.steps // FIELDS_AT_ONCE)
        for part in np.array_split(np.arange(len(self)), parts):
            fields = self.store.batch(self.starts[part], self.steps)
            yield self._departures(fields, part, slice(None))

    def band(self, rows: slice) -> Tensor:
        """Departures (n, step, level, row, longitude) in some rows of the grid.

        Only these rows are read from the memory map.
        """
        fields = self.store.fields[:, :, rows][self.starts[:, None] + np.arange(self.steps)]
        return self._departures(fields, np.arange(len(self)), rows)

    def _departures(self, fields: np.ndarray, part: np.ndarray, rows: slice) -> Tensor:
        """Of fields (k, step, level, row, longitude) of the windows numbered ``part``, turned."""
        for place, number in enumerate(part):
            if not self.about_climatology:
                start = self.starts[number]
                times = self.store.times[start : start + self.steps]
                fields[place] -= climate(self.normalisation, times)[:, :, rows]
            fields[place] = np.roll(fields[place], self.turns[number], -1)
        return torch.from_numpy(fields).to(self.device)

    def images(self, predict: Callable[[Tensor], Tensor], about: np.ndarray) -> Tensor:
        """H(about + departure) - H(about) of every window, (n, ...).

        ``predict`` is H, of normalised fields (batch, step, level, latitude, longitude) on the
        sample's device;
        ``about`` (step, level, latitude, longitude) is a case's climatology.
        """
        base = torch.from_numpy(about).float().to(self.device)[None]
        with torch.no_grad():
            middle = predict(base)
            return torch.cat([predict(base + window) - middle for window in self.windows()])


def few(values: Tensor, dim: int) -> Tensor:
    """Every how-manieth of a dimension's windows: at least COMPARED, if there are so many."""
    return values.movedim(dim, 0)[:: max(1, values.shape[dim] // COMPARED)].movedim(0, dim)


def _turns(windows: int, rotations: int, columns: int, seed: int) -> np.ndarray:
    """Columns by which every window is turned, each time; spread evenly from a random one on."""
    if not rotations:
        return np.zeros(windows, int)
    first = np.random.default_rng(seed).integers(columns, size=(windows, 1))
    apart = np.arange(rotations) * columns // rotations
    return ((first + apart) % columns).ravel()
