"""Verification by what no analysis has seen: the reports of the stations held out.

H, the station operator fitted on the training period, takes a state to the thermometers of the
stations held out, and y - H(x) is scored, with the station's own error variance (instrument,
regression, what one point says of a cell) as part of what is to be expected.
"""

from dataclasses import dataclass

import numpy as np
import scoringrules
import xarray as xr
from numpy.typing import NDArray

from slams.errors import SlamsError
from slams.statistics import Normalisation
from slams.surface import Regression, Table, reports
from slams.verification import reduction as r
from slams.verification.methods import PARTLY, Method
from slams.verification.reduction import Means

RANGE_K = (150.0, 350.0)  # of an air temperature at 2 m

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Stations:
    """What verification by stations takes.

    ``fitted`` is what `slams.observation.stations_fit.fit` gives; ``table`` the reports of the test
    period (`slams.archives.station_set.read`), or a function that gives those of some times.
    """

    fitted: xr.Dataset
    table: Table


class HeldOut:
    """The stations held out, and what they reported at the times (case, step) of a cell.

    Raises SlamsError where a report is no air temperature in K, and where the fit is of other
    levels than the analysis.
    """

    def __init__(self, stations: Stations, analysis: xr.Dataset, statistics: xr.Dataset) -> None:
        fitted = stations.fitted
        self.fitted = fitted.isel(station=np.flatnonzero(fitted["held_out"].values))
        self.ids = self.fitted["station"].values.astype(str)
        self.times = analysis["time"].transpose("case", "step").values
        self.normalisation = Normalisation(statistics)
        found = [reports(stations.table, self.fitted, times)[0] for times in self.times]
        self.observed = np.stack(found).astype(np.float64)  # (case, step, station)
        _plausible(self.observed, self.ids)

    @property
    def counts(self) -> Array:
        """Reports of each case, (case,)."""
        counts: Array = np.isfinite(self.observed).sum((1, 2)).astype(np.float64)
        return counts

    def reduce(
        self, method: Method, case: int, analysis: xr.Dataset, classical: xr.Dataset, seed: int
    ) -> Means:
        """Means over the reports of a case, {name: (1,)}, as :func:`reduction.reduce`.

        ``analysis`` and ``classical`` are of that case alone. A member's value of a report is
        H(member) plus a draw of the station's error, from ``seed``.
        """
        seen = np.isfinite(self.observed[case])
        y = self.observed[case][seen]
        noise = np.broadcast_to(self.fitted["error_variance"].values, seen.shape)[seen]
        spread: Array | None = None
        if method.name == "analysis":
            regression = Regression.of(self.fitted, self.normalisation, self.times[case])
            members = analysis["analysis"].transpose("member", "step", "level", ...).values
            # In double precision, a member at a time: an ensemble of doubles would be large.
            values = np.stack([regression.temperature(m.astype(np.float64))[seen] for m in members])
        else:
            values = self._said(classical, method.stations)[seen][None]
            if method.kind == "gaussian":
                spread = self._said(classical, method.stations_spread)[seen]
        if method.name not in PARTLY:
            _finite(values, method, self.times[case])
        return _means(y, values, noise, spread, method, seed)

    def _said(self, classical: xr.Dataset, name: str) -> Array:
        """A variable of the classical analyses at the stations, (step, station)."""
        if name not in classical:
            raise SlamsError(
                f"the classical analyses lack the variable {name}, what that method says of the "
                "stations held out: run the rule analyse_classically again"
            )
        field = classical[name]
        known = set(field["station"].values.astype(str))
        missing = [station for station in self.ids if station not in known]
        if missing:
            raise SlamsError(
                f"{name} of the classical analyses lacks {len(missing)} stations held out, the "
                f"first {missing[0]}: run the rule analyse_classically again"
            )
        field = field.assign_coords(station=field["station"].values.astype(str))
        field = field.sel(station=self.ids)
        if "step" not in field.dims:
            field = field.expand_dims(step=self.times.shape[1])
        values: Array = field.transpose("step", "station").values.astype(np.float64)
        return values


def _means(
    y: Array, values: Array, noise: Array, spread: Array | None, method: Method, seed: int
) -> Means:
    """Means over reports ``y`` (n,) with error variances ``noise``; ``values`` (member, n)."""
    error = values.mean(0) - y
    means = {r.SQUARED_ERROR: error**2, r.ERROR: error}
    if method.kind == "ensemble":
        members = len(values)
        drawn = np.random.default_rng(seed).standard_normal(values.shape)
        perturbed = values + np.sqrt(noise) * drawn
        means[r.CRPS] = _fair_crps(y, perturbed)
        within = values.var(0, ddof=1)
        means[r.VARIANCE] = within + noise
        means[r.CLAIMED] = (members + 1) / members * within + noise
    elif spread is not None:
        means[r.VARIANCE] = means[r.CLAIMED] = spread**2 + noise
        means[r.CRPS] = scoringrules.crps_normal(y, values[0], np.sqrt(spread**2 + noise))
    else:
        means[r.CRPS] = np.abs(error)
    return {name: np.array([mean.mean() if y.size else np.nan]) for name, mean in means.items()}


def _fair_crps(y: Array, members: Array) -> Array:
    """Point by point; ``members`` (member, n)."""
    if not y.size:
        return y
    score: Array = scoringrules.crps_ensemble(y, members.T, estimator="fair")
    return score


def refuse_used(analysis: xr.Dataset, fitted: xr.Dataset) -> None:
    """Raise SlamsError where an analysis has used a station that the fit holds out, at any step."""
    ids = fitted["station"].values[fitted["held_out"].values].astype(str)
    if "stations" not in str(analysis.attrs.get("streams", "")).split():
        return
    if "station_used" not in analysis:
        raise SlamsError(
            "the analysis does not say which stations it used (station_used): run the cell again, "
            "so that none held out can have been among them"
        )
    used = analysis["station_used"]
    names = used["station"].values.astype(str)
    any_time = (used != 0).any([dim for dim in used.dims if dim != "station"]).values
    wrong = sorted(set(names[any_time]) & set(ids))
    if wrong:
        raise SlamsError(
            f"arm {analysis.attrs.get('arm')}: station {wrong[0]} is held out for verification, "
            f"and the analysis used it ({len(wrong)} of them): run the cell again with the fit of "
            "operators/stations.nc as it is now"
        )


def _plausible(observed: Array, ids: NDArray[np.str_]) -> None:
    low, high = RANGE_K
    wrong = ~np.isnan(observed) & ~((observed >= low) & (observed <= high))
    if wrong.any():
        case, step, station = np.argwhere(wrong)[0]
        raise SlamsError(
            f"station {ids[station]}, held out for verification, reports "
            f"{observed[case, step, station]:g}, which is no air temperature between {low:g} and "
            f"{high:g} K: mend the station table, or leave the station out"
        )


def _finite(values: Array, method: Method, times: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise SlamsError(
            f"what {method.name} says of the stations held out is not finite in the case from "
            f"{np.datetime_as_string(times[0], 'h')}: run that case again; nothing is scored in "
            "part"
        )
