"""Which windows a cell looks at: its cases, and the windows that say what is to be expected."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from slams.errors import SlamsError
from slams.statistics import Normalisation
from slams.store import Store

VALIDATION_WINDOWS = 24  # for representation errors, expected innovations, first-guess errors

# (store, starts) -> the starts of windows that an arm's background can observe
Possible = Callable[[Store, np.ndarray], np.ndarray]


@dataclass
class Case:
    """The window of ``length`` fields of a store from the field number ``start`` on."""

    store: Store
    start: int
    length: int

    @cached_property
    def truth(self) -> np.ndarray:
        """Its fields (step, level, latitude, longitude), normalised."""
        return self.store.window(self.start, self.length)

    @property
    def times(self) -> np.ndarray:
        """The times (step,) of its fields, UTC."""
        return self.store.times[self.start : self.start + self.length]


def seed_of(*parts: Any) -> int:
    """A seed (63 bits) that depends on ``parts`` alone."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def choose_cases(
    store: Store, cases: int, window: int, step_hours: float, possible: Possible | None = None
) -> np.ndarray:
    """Starts (case,) of ``cases`` windows spread evenly over the test period.

    Where a background needs more than the window, only windows that are ``possible`` count.
    Raises SlamsError where the period has fewer.
    """
    starts, needing = _starts(store, window, step_hours, possible)
    if len(starts) < cases:
        raise SlamsError(
            f"cases: {cases} are asked for, but periods.test holds {len(starts)} windows of "
            f"{window} steps{needing}; lower cases or widen the period"
        )
    return starts[np.linspace(0, len(starts) - 1, cases).round().astype(int)]


def validation_cases(
    store: Store, window: int, step_hours: float, possible: Possible | None = None
) -> list[Case]:
    """Windows spread evenly over the validation period, at most `VALIDATION_WINDOWS`.

    Raises SlamsError where the period has fewer than two.
    """
    starts, needing = _starts(store, window, step_hours, possible)
    if len(starts) < 2:
        raise SlamsError(
            f"periods.validation holds {len(starts)} windows of {window} steps{needing}, too few "
            "to say what is to be expected: widen it"
        )
    chosen = np.unique(np.linspace(0, len(starts) - 1, VALIDATION_WINDOWS).round().astype(int))
    return [Case(store, start, window) for start in starts[chosen]]


def _starts(
    store: Store, window: int, step_hours: float, possible: Possible | None
) -> tuple[np.ndarray, str]:
    """Starts of windows, and what, if anything, a background has kept out others for."""
    starts = store.starts(window, step_hours)
    left = starts if possible is None else possible(store, starts)
    return left, " with the field that the background needs" if len(left) < len(starts) else ""


def climate(normalisation: Normalisation, times: np.ndarray) -> np.ndarray:
    """The climatology (step, level, latitude, longitude) in normalised units."""
    return normalisation.normalise(normalisation.climatology(times), times)
