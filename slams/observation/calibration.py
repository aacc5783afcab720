"""Are the errors of the fitted operators those that they claim? Residuals of data not fitted.

A residual is an observation minus what the truth gives, y - H(x), of the validation period, which
no operator was fitted on. Each stands beside the standard deviation that the operator's error
model claims for it, and beside the one that it enters an analysis with: where errors are
correlated, analyses inflate the variance so that the same news does not count several times.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from slams.cases import Case
from slams.channels import CHANNELS
from slams.errors import SlamsError
from slams.observation import imagery as imagery_stream
from slams.observation import stations as station_stream
from slams.observation.base import Observation
from slams.observation.imagery import ImageryModel
from slams.observation.persistence import Persistence
from slams.statistics import Normalisation
from slams.surface import Table

COLUMNS = ("stream", "unit", "time", "residual", "predicted_sd", "assimilated_sd", "refused")
# A table of all pixels of all windows would be far larger than its picture needs.
MOST_ROWS = 100_000  # a stream, or channel


@dataclass
class Operators:
    """What was fitted, and the observations to hold it to; None where a stream is not used.

    ``stations`` (a table, or a function that gives that of some times) and ``station_fit``;
    ``images`` (time, channel, latitude, longitude), best read lazily, and ``imagery_model``;
    ``persistence``, a fit for each age of the background.
    """

    stations: Table | None = None
    station_fit: xr.Dataset | None = None
    images: xr.DataArray | None = None
    imagery_model: ImageryModel | None = None
    persistence: Sequence[xr.Dataset] = ()


def residuals(
    operators: Operators,
    cases: Sequence[Case],
    normalisation: Normalisation,
    *,
    gross_error: float,
    seed: int,
) -> pd.DataFrame:
    """The residuals of every stream in ``cases`` (one step each) of data not fitted.

    One row an observation (columns: `COLUMNS`): ``stream`` (stations assimilated and stations held
    out apart, imagery by channel, persistence by age), ``unit``, ``time``, ``residual``,
    ``predicted_sd`` (of the error model) and ``assimilated_sd`` (of what enters an analysis) in
    that unit; ``refused`` where the residual is more than ``gross_error`` assimilated standard
    deviations, as quality control would refuse it. Of a stream with more than `MOST_ROWS`
    observations as many are drawn from ``seed``. Raises SlamsError where nothing was observed.
    """
    frames: dict[str, list[pd.DataFrame]] = {}
    for case in cases:
        for frame in _of_case(operators, case, normalisation):
            if len(frame):
                frames.setdefault(str(frame["stream"].iloc[0]), []).append(frame)
    if not frames:
        raise SlamsError(
            "periods.validation: nothing was observed at its times, so no operator can be checked; "
            "widen the period or add observations of it"
        )
    random = np.random.default_rng(seed)
    tables = []
    for parts in frames.values():
        rows = pd.concat(parts, ignore_index=True)
        if len(rows) > MOST_ROWS:
            rows = rows.iloc[np.sort(random.choice(len(rows), MOST_ROWS, replace=False))]
        tables.append(rows)
    result = pd.concat(tables, ignore_index=True)
    result["refused"] = result["residual"].abs() > gross_error * result["assimilated_sd"]
    return result[list(COLUMNS)]


def _of_case(
    operators: Operators, case: Case, normalisation: Normalisation
) -> Iterator[pd.DataFrame]:
    """The rows of each stream in one case."""
    truth = torch.from_numpy(case.truth)[None]
    table, fitted_stations = operators.stations, operators.station_fit
    if table is not None and fitted_stations is not None:
        if callable(table):
            table = table(case.times)  # once, for both
        yield from _of_stations(table, fitted_stations, case, normalisation, truth)
    if operators.images is not None and operators.imagery_model is not None:
        model = operators.imagery_model
        seen = imagery_stream.observe(operators.images, model, normalisation, case.times)
        yield from _of_imagery(seen, model, truth)
    for fitted in operators.persistence:
        yield from _of_persistence(fitted, case, normalisation, truth)


def _of_stations(
    table: pd.DataFrame,
    fitted: xr.Dataset,
    case: Case,
    normalisation: Normalisation,
    truth: torch.Tensor,
) -> Iterator[pd.DataFrame]:
    """Those that analyses take, and those held out, which may be looked at here."""
    held = fitted["held_out"].values.astype(bool)
    for name, chosen in (("stations", ~held), ("stations held out", held)):
        if not chosen.any():
            continue
        open_fit = fitted.isel(station=np.flatnonzero(chosen))
        open_fit = open_fit.assign(held_out=("station", np.zeros(chosen.sum(), bool)))
        seen = station_stream.observe(table, open_fit, normalisation, case.times)
        yield _rows(seen, truth, name, "K", 1.0, seen.variance(truth)[0])


def _of_imagery(
    seen: Observation, model: ImageryModel, truth: torch.Tensor
) -> Iterator[pd.DataFrame]:
    """Channel by channel, in the channel's unit (transformed where the channel is)."""
    operator: Any = seen.operator
    used = seen.variance(truth)[0]
    inflation = operator.inflation.expand(seen.full.shape).flatten()[seen.seen]
    own = used / inflation
    pixels = seen.full.shape[2] * seen.full.shape[3]
    channel_of = (seen.seen // pixels) % seen.full.shape[1]
    for number, name in enumerate(model.channels):
        channel = CHANNELS[name]
        plain = channel.transform(np.ones(1))[0] == 1.0
        unit = channel.units if plain else f"log(1 + {channel.units})"
        scale = float(model.scale[number])
        here = channel_of == number
        yield _rows(seen, truth, name, unit, scale, own, here)


def _of_persistence(
    fitted: xr.Dataset, case: Case, normalisation: Normalisation, truth: torch.Tensor
) -> Iterator[pd.DataFrame]:
    """All levels together, in K; none where no earlier field is known."""
    background = Persistence(fitted, normalisation)
    if not len(background.possible(case.store, np.array([case.start]))):
        return
    seen = background.observe(case, 0)
    # By level, and by level and row, at every value seen.
    scale, own = (
        torch.as_tensor(values, dtype=torch.float32).expand(seen.full.shape).flatten()[seen.seen]
        for values in (
            normalisation.scale[:, None, None],
            fitted["residual_variance"].values[..., None],
        )
    )
    yield _rows(seen, truth, f"persistence, {background.hours:g} h", "K", scale, own)


def _rows(
    seen: Observation,
    truth: torch.Tensor,
    stream: str,
    unit: str,
    scale: torch.Tensor | float,
    own: torch.Tensor,
    chosen: torch.Tensor | slice = slice(None),
) -> pd.DataFrame:
    """The rows of one stream; ``own`` (n,) is the variance of the error model."""
    with torch.no_grad():
        residual = scale * (seen.value - seen.predict(truth)[0])
        used = seen.variance(truth)[0]
    values = {
        "residual": residual,
        "predicted_sd": scale * own.sqrt(),
        "assimilated_sd": scale * used.sqrt(),
    }
    columns = {name: value[chosen].numpy().astype(np.float64) for name, value in values.items()}
    return pd.DataFrame({"stream": stream, "unit": unit, "time": seen.times[0], **columns})
