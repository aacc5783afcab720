"""An honest background: the field of some steps before, as an observation of the first step.

Nothing of the truth is in it but what lasted. With d the departure from the climatology, in
normalised units and as block means, that of the earlier field is taken as

    d(t - N) = a d(t) + e,

a regression of the earlier field on the present one, for each level and row; so d(t - N) is an
observation of d(t), with H = a times the block mean and e its error, which has nothing in common
with d(t). Slope and error come from the training period (:mod:`persistence_fit`).
"""

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from slams.cases import Case, climate
from slams.errors import SlamsError
from slams.observation.base import Observation
from slams.observation.checks import whole
from slams.observation.degraded import BlockMean
from slams.statistics import Normalisation
from slams.store import Store


def earlier_fields(store: Store, fields: np.ndarray, hours: float) -> np.ndarray:
    """Numbers of the fields ``hours`` before ``fields``, of the same member; -1 where none is."""
    known = {
        (time, member): number
        for number, (time, member) in enumerate(zip(store.times, store.members, strict=True))
    }
    before = np.timedelta64(round(hours * 3600), "s")
    return np.array(
        [known.get((store.times[n] - before, store.members[n]), -1) for n in fields], dtype=int
    )


def block_means(operator: BlockMean, fields: np.ndarray) -> np.ndarray:
    """Block means of fields (n, level, latitude, longitude)."""
    return operator(torch.from_numpy(np.asarray(fields, dtype=np.float32))[None])[0].numpy()


class PersistenceOperator(nn.Module):
    """Climatology plus ``slope`` times the departure from it, as block means: affine.

    ``slope`` (level, row) and ``climatology`` (step, level, row, column), normalised units, are
    of the coarse grid. Gives (batch, step, level, row, column).
    """

    affine = True
    by_level = True
    slope: Tensor
    constant: Tensor

    def __init__(self, coarse: int, slope: np.ndarray, climatology: np.ndarray) -> None:
        super().__init__()
        self.blocks = BlockMean(coarse)
        self.register_buffer("slope", torch.from_numpy(slope)[..., None].float())
        constant = torch.from_numpy((1 - slope[..., None]) * climatology)
        self.register_buffer("constant", constant.float())

    def forward(self, x: Tensor) -> Tensor:
        """What an earlier field is expected to be, of fields (batch, step, level, lat, lon)."""
        return self.slope * self.blocks(x) + self.constant

    def positions(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Row and column, in cells of the full grid, of the blocks' centres."""
        return self.blocks.positions(rows, columns)


class Persistence:
    """The background made of earlier fields; ``fitted`` as :func:`persistence_fit.fit` gives.

    Raises SlamsError where the fit is not of the levels of ``normalisation``.
    """

    def __init__(self, fitted: xr.Dataset, normalisation: Normalisation) -> None:
        if not np.array_equal(fitted["level"].values, normalisation.levels):
            raise SlamsError(
                f"stream background: persistence was fitted on {fitted['level'].values} hPa, the "
                f"prior has {normalisation.levels} hPa; make the fit again"
            )
        self.fitted, self.normalisation = fitted, normalisation
        self.hours = float(fitted.attrs["hours"])
        self.coarse = int(fitted.attrs["coarse"])

    def possible(self, store: Store, starts: np.ndarray) -> np.ndarray:
        """Starts whose window has, in the same store, a field the given hours before."""
        return starts[earlier_fields(store, starts, self.hours) >= 0]

    def observe(self, case: Case, seed: int) -> Observation:
        """The earlier field as an observation of the first step; nothing is drawn."""
        number = earlier_fields(case.store, np.array([case.start]), self.hours)[0]
        if number < 0:
            raise SlamsError(
                f"stream background: no field lies {self.hours:g} h before "
                f"{np.datetime_as_string(case.times[0], 'h')}; choose a later case"
            )
        blocks = BlockMean(self.coarse)
        now = block_means(blocks, climate(self.normalisation, case.times))
        earlier = case.store.window(number, 1)
        then = case.store.times[number : number + 1]
        remedy = "build the store again from whole fields in K"
        whole(self.normalisation.to_kelvin(earlier, then), "background", remedy)
        departure = block_means(blocks, earlier - climate(self.normalisation, then))[0]
        operator = PersistenceOperator(self.coarse, self.fitted["slope"].values, now)
        value = np.full(now.shape, np.nan, dtype=np.float32)
        value[0] = now[0] + departure
        return Observation(
            operator, value, self.fitted["error_variance"].values[..., None], case.times
        )
