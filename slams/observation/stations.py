"""Weather stations: from the lowest levels of the state to the thermometer at 2 m.

A regression fitted on the training period predicts a station's temperature from the state at
its position,

    T_2m = c0 + sum_l [a_l T_ref,l + b_l (T_l - T_ref,l)] + c1 z + c2 sin^2(latitude) + bias_s,

with the sum over the lowest levels, T_ref the reference of the normalisation (the seasonal
cycle) and z the elevation. Climate and weather have coefficients of their own, since the ground
follows them differently. Each station has a bias, shrunk towards zero by the days it was seen,
and an error variance, shrunk towards that of all stations: together what the regression leaves
unexplained and what one point says of a whole cell.

A station stands at one place: what it reported from elsewhere, before it moved or after, is left
out of the fit and of the analyses. The fit stands in :mod:`slams.observation.stations_fit`.
"""

import logging

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from slams.errors import SlamsError
from slams.observation.base import Observation
from slams.observation.checks import SURFACE_RANGE_K, plausible
from slams.observation.points import at_points
from slams.statistics import Normalisation
from slams.surface import Regression, Table, reports

log = logging.getLogger(__name__)


class StationOperator(nn.Module):
    """The fitted regression at chosen stations in one window: affine in the state.

    Gives (batch, step, station) in K from normalised fields.
    """

    affine = True
    indices: Tensor
    weights: Tensor
    slope: Tensor
    constant: Tensor

    def __init__(self, fitted: xr.Dataset, normalisation: Normalisation, times: np.ndarray) -> None:
        super().__init__()
        regression = Regression.of(fitted, normalisation, times)
        self.levels, self.cells = regression.levels, regression.cells
        self.latitude, self.longitude = fitted["latitude"].values, fitted["longitude"].values
        slope = regression.slope * normalisation.scale[self.levels]
        self.register_buffer("indices", torch.from_numpy(regression.indices))
        self.register_buffer("weights", torch.from_numpy(regression.weights).float())
        self.register_buffer("slope", torch.from_numpy(slope).float())
        self.register_buffer("constant", torch.from_numpy(regression.constant).float())

    def forward(self, x: Tensor) -> Tensor:
        """Temperatures (batch, step, station) in K of fields (batch, step, level, lat, lon)."""
        if tuple(x.shape[-2:]) != self.cells:
            raise SlamsError(
                f"stream stations: fitted on {self.cells[0]} x {self.cells[1]} cells, the fields "
                f"have {x.shape[-2]} x {x.shape[-1]}: fit the stations on the grid of the state"
            )
        at = at_points(x[:, :, self.levels], self.indices, self.weights)
        return torch.einsum("btls,l->bts", at, self.slope) + self.constant


def observe(
    table: Table,
    fitted: xr.Dataset,
    normalisation: Normalisation,
    times: np.ndarray,
) -> Observation:
    """The observations of a window from the stations that may be assimilated.

    ``table`` holds station observations, or is a function that gives those of some times, so that
    not all years need be in memory; ``fitted`` is what :func:`slams.observation.stations_fit.fit`
    gives. A station that was held out, was not fitted or has moved since does not enter. Reports of
    a station at one time are averaged. Raises SlamsError where one is no air temperature in K.
    """
    chosen = fitted.isel(station=np.flatnonzero(~fitted["held_out"].values))
    value, moved = reports(table, chosen, times)
    if moved:
        log.info("%d observations of stations that have moved are left out", moved)
    remedy = "mend the station table, whose unit is K, or leave the station out"
    plausible(
        value, "stations", remedy, SURFACE_RANGE_K, names=chosen["station"].values.astype(str)
    )
    operator = StationOperator(chosen, normalisation, times)
    variance = torch.from_numpy(chosen["error_variance"].values).float()
    return Observation(operator, value, variance, times, "stations")
