"""What a background is made of: a degraded truth, or the field of an earlier time.

A background observes a case (:class:`slams.cases.Case`: a window of a store) and says in which
windows it can. The same seed gives the same background, whichever arm asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xarray as xr

from slams.cases import Case
from slams.errors import SlamsError
from slams.observation.base import Observation, Operator
from slams.observation.degraded import BlockMean, EveryNth, Identity, degrade
from slams.observation.persistence import Persistence
from slams.statistics import Normalisation
from slams.store import Store


class Background(Protocol):
    """One way to make a case's background."""

    def possible(self, store: Store, starts: np.ndarray) -> np.ndarray:
        """Those of ``starts`` at which a window has what the background needs."""
        ...

    def observe(self, case: Case, seed: int) -> Observation:
        """The background of a case; the draws, if any, depend on ``seed`` alone."""
        ...


@dataclass(frozen=True)
class Degraded:
    """The truth through ``operator``, with ``noise`` (normalised units), on every n-th step."""

    operator: Operator
    noise: float
    every: int

    def possible(self, store: Store, starts: np.ndarray) -> np.ndarray:
        """All: the window itself is all it takes."""
        return starts

    def observe(self, case: Case, seed: int) -> Observation:
        """See :func:`slams.observation.degraded.degrade`."""
        return degrade(
            case.truth, self.operator, case.times, noise=self.noise, every=self.every, seed=seed
        )


def background_of(
    axis: str,
    value: float,
    section: Mapping[str, Any],
    *,
    normalisation: Normalisation,
    persistence: xr.Dataset | None = None,
) -> Background:
    """The background of an axis at a value.

    ``section`` is the axis's section of the configuration, ``persistence`` what was fitted for
    that axis. Raises SlamsError where the axis is none, or its fit is not given.
    """
    if axis == "coarse":
        return Degraded(BlockMean(int(value)), float(section["noise"]), int(section["every"]))
    if axis == "noise":
        factor = int(section["coarse"])
        operator: Operator = BlockMean(factor) if factor > 1 else Identity()
        return Degraded(operator, float(value), int(section["every"]))
    if axis == "sparse":
        every_nth = EveryNth(int(value), section.get("offset"))
        return Degraded(every_nth, float(section["noise"]), int(section["every"]))
    if axis == "persistence":
        if persistence is None:
            raise SlamsError(
                "axis persistence: its errors are not fitted; make operators/persistence-"
                f"{value:g}.nc first (rule fit_persistence)"
            )
        return Persistence(persistence, normalisation)
    raise SlamsError(f"axis {axis!r} is not coarse, noise, sparse or persistence")
