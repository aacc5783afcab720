"""How far a training is: a bar in a terminal, plain lines in the log."""

import logging
import time
from types import TracebackType

from tqdm import tqdm

log = logging.getLogger(__name__)

LINE_EVERY = 60.0  # seconds from one line of the log to the next, at least


class Progress:
    """Counts the steps from ``first`` to ``steps``.

    The bar is drawn where standard error is a terminal. The rate is that of this process's steps.
    """

    def __init__(self, first: int, steps: int) -> None:
        self.done, self.steps = first, steps
        self._first, self._began = first, time.monotonic()
        self._told = self._began
        # disable=None: not where the output is no terminal.
        self._bar = tqdm(initial=first, total=steps, unit="step", leave=False, disable=None)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def step(self, loss: float) -> None:
        """A step was made, with this training loss."""
        self.done += 1
        self._bar.update()
        if time.monotonic() - self._told >= LINE_EVERY:
            self.line(f"train {loss:.4f}")

    def line(self, text: str) -> None:
        """Log how far it is, ``text``, the rate and the time left."""
        now = time.monotonic()
        self._told = now
        pace = ""
        if self.done > self._first:
            rate = (self.done - self._first) / max(now - self._began, 1e-9)
            left = tqdm.format_interval((self.steps - self.done) / rate)
            pace = f"; {rate:.3g} steps/s, {left} left"
        log.info("step %d of %d: %s%s", self.done, self.steps, text, pace)
