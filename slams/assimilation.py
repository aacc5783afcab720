"""One cell of the ablation from start to end: cases, observations, ensembles, classical analyses.

A case is a window of the test period. The background of a case depends on the seed, axis, value
and case, never on the arm, so that all arms of an axis value see the same one.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from tqdm import tqdm

from slams.cases import Case, choose_cases, climate, seed_of, validation_cases
from slams.classical import FirstGuess, first_guess, fit_first_guess, interpolate
from slams.errors import SlamsError
from slams.observation import Observation, Observations
from slams.observation import imagery as imagery_stream
from slams.observation import stations as station_stream
from slams.observation.background import Background, background_of
from slams.observation.checks import whole
from slams.observation.quality import deweight, refuse_gross
from slams.observation.representation import DecoderError
from slams.paper import arms as paper
from slams.posterior import sample
from slams.posterior.checks import deviations
from slams.prior import Prior
from slams.store import Store

log = logging.getLogger(__name__)


@dataclass
class Streams:
    """What an arm may observe beside a degraded background; None where it is not used.

    ``stations`` is their table or, so that not all years need be in memory, a function that gives
    that of some times. ``imagery`` is (time, channel, latitude, longitude), best read lazily.
    """

    stations: pd.DataFrame | Callable[[np.ndarray], pd.DataFrame] | None = None
    station_fit: xr.Dataset | None = None
    imagery: xr.DataArray | None = None
    imagery_model: imagery_stream.ImageryModel | None = None
    persistence: xr.Dataset | None = None


@dataclass(frozen=True)
class Counts:
    """What became of a stream's observations in one case; those deweighted are used too."""

    stream: str
    used: int
    refused: int
    deweighted: int

    def __str__(self) -> str:
        return (
            f"{self.stream} {self.used} used ({self.deweighted} deweighted), {self.refused} refused"
        )


def _through(prior: Prior, windows: torch.Tensor) -> torch.Tensor:
    """Windows through the prior's autoencoder and back."""
    with torch.no_grad():
        # One at a time: a case may have many steps, and there are two dozen of them.
        ones = (window.to(prior.device) for window in windows.split(1))
        return torch.cat([prior.decode(prior.encode(window)).cpu() for window in ones])


def observe_case(
    prior: Prior,
    case: Case,
    *,
    names: list[str],
    background: Background | None,
    streams: Streams,
    seed: int,
) -> Observations:
    """The observations of one case by the streams called ``names``.

    Raises SlamsError where a stream is not given, is not of the prior's levels and grid, or holds
    what is no temperature.
    """
    made: list[Observation] = []
    times = case.times
    if "background" in names:
        if background is None:
            raise SlamsError("an arm with a background needs an axis and a value")
        kelvin = prior.normalisation.to_kelvin(case.truth, times)
        whole(kelvin, "background", "build the store again from whole fields in K")
        made.append(background.observe(case, seed))
    if "stations" in names:
        if streams.stations is None or streams.station_fit is None:
            raise SlamsError("the arm names stations, but archives.stations.source is none")
        made.append(
            station_stream.observe(
                streams.stations, streams.station_fit, prior.normalisation, times
            )
        )
    if "imagery" in names:
        if streams.imagery is None or streams.imagery_model is None:
            raise SlamsError("the arm names imagery, but archives.imagery.source is none")
        made.append(
            imagery_stream.observe(
                streams.imagery, streams.imagery_model, prior.normalisation, times
            )
        )
    observations = Observations(made)
    # Levels, grid and steps that do not fit are told now, not from within the sampler.
    with torch.no_grad():
        observations.predict(torch.from_numpy(case.truth)[None])
    return observations


def assimilate_cell(
    prior: Prior,
    test: Store,
    validation: Store,
    *,
    arm: Mapping[str, Any],
    axis: str,
    value: float,
    settings: Mapping[str, Any],
    streams: Streams,
    cases: int,
    steps: int,
    sampler: Mapping[str, Any],
    seed: int,
) -> xr.Dataset:
    """All cases of one cell, ``steps`` each: ``analysis.nc`` of docs/architecture.md.

    ``arm`` has name, space and streams; ``axis`` is "none" for an arm without background,
    ``settings`` is what the axis holds fixed; ``sampler`` is that section of the configuration.
    With the recipe "paper" the ensembles are the paper's (:mod:`slams.paper`), by its own
    ``sampler``; what stands beside them is that of every arm. Raises SlamsError where a store is
    not of the prior's fields, where they are no temperatures, and where a case has no observation
    left.
    """
    names = list(arm["streams"])
    background = None
    if "background" in names:
        background = background_of(
            axis,
            value,
            settings,
            normalisation=prior.normalisation,
            persistence=streams.persistence,
        )
    for period, store in (("test", test), ("validation", validation)):
        _check_store(prior, store, period)
    possible = None if background is None else background.possible
    starts = choose_cases(test, cases, steps, prior.step_hours, possible)
    known = validation_cases(validation, steps, prior.step_hours, possible)
    windows = torch.from_numpy(np.stack([case.truth for case in known]))
    degraded = None
    if background is not None:
        drawn = seed_of(seed, "validation", axis, float(value))
        degraded = [background.observe(case, seed_of(drawn, n)) for n, case in enumerate(known)]
    climates = np.stack([climate(prior.normalisation, case.times) for case in known])
    first = fit_first_guess(windows, climates, degraded)
    decoder = DecoderError(windows, _through(prior, windows)) if prior.space == "latent" else None
    coordinates = {n: prior.statistics[n].values for n in ("latitude", "longitude")}
    pieces = []
    for number, start in enumerate(tqdm(starts, unit="case", mininterval=10)):
        case = Case(test, int(start), steps)
        seeing = seed_of(seed, axis, float(value), number)
        observations = observe_case(
            prior,
            case,
            names=names,
            background=background,
            streams=streams,
            seed=seeing,
        )
        normal = climate(prior.normalisation, case.times)
        counts = control(observations, first_guess(observations, first, normal), first, sampler)
        if not len(observations):
            raise SlamsError(
                f"arm {arm['name']}: the case from {np.datetime_as_string(case.times[0], 'h')} has "
                "no observation left after quality control; add a stream or move periods.test"
            )
        interpolated = interpolate(
            observations, first, windows=windows, climate=normal, **coordinates
        )
        drawn = seed_of(seed, arm["name"], axis, float(value), number)
        if arm.get("recipe") == "paper":
            seen = paper.observe(prior, case, background, seed=seeing)
            counts = [Counts(seen.name, len(seen), 0, 0)]
            ensemble = paper.analyse(prior, seen, sampler, seed=drawn)
            far = deviations(prior, ensemble).max((1, 2, 3, 4))
            beyond = ~(far <= sampler["plausible"])  # not a number is beyond, too
            if beyond.any():
                # It is shown as the paper has it, which knows no such limit.
                log.warning(
                    "case %d: %d of %d members of the paper's sampler are more than %g standard "
                    "deviations from the climatology, up to %.3g",
                    number + 1,
                    beyond.sum(),
                    len(far),
                    sampler["plausible"],
                    far.max(),
                )
        else:
            if decoder is not None:
                decoder.add_to(observations)
            ensemble = sample(
                prior,
                observations,
                sampler["members"],
                steps=sampler["steps"],
                seed=drawn,
                method=sampler["method"],
                solver=sampler["solver"],
                solver_iterations=sampler["solver_iterations"],
                sigma_min=sampler["sigma_min"],
                sigma_max=sampler["sigma_max"],
                plausible=sampler["plausible"],
                chunk=sampler["chunk"],
            )
        pieces.append(
            _case_dataset(prior, case, ensemble=ensemble, interpolated=interpolated, counts=counts)
        )
        log.info("case %d of %d: %s", number + 1, cases, ", ".join(map(str, counts)))
    data = xr.concat(pieces, dim="case").assign_coords(
        case=np.arange(cases), member=np.arange(sampler["members"])
    )
    data["climatology_spread"] = prior.statistics["climatology_spread"].astype(np.float32)
    data.attrs = {
        "arm": arm["name"],
        "space": arm["space"],
        "streams": " ".join(names),
        "axis": axis,
        "axis_value": f"{value:g}",
    }
    return data


def _check_store(prior: Prior, store: Store, period: str) -> None:
    """The fields are of the prior's levels and cells."""
    expected = tuple(prior.statistics.sizes[n] for n in ("level", "latitude", "longitude"))
    if store.shape != expected:
        raise SlamsError(
            f"store/{period}: fields of {store.shape} (level, latitude, longitude), the prior's "
            f"are {expected}: build the store with the prior's levels and grid.spacing"
        )


def control(
    observations: Observations, guess: np.ndarray, first: FirstGuess, sampler: Mapping[str, Any]
) -> list[Counts]:
    """Quality control of every stream but the background, against the first guess.

    ``guess`` (step, level, latitude, longitude) is the case's, in normalised units; with the
    errors that first guesses make it says what is to be expected (:mod:`observation.quality`).
    ``sampler`` has ``gross_error`` and ``robust``, in standard deviations.
    """
    fields = torch.from_numpy(guess + first.errors).float()
    counts = []
    for stream in observations:
        refused = deweighted = 0
        # The background is made here, has no gross errors, and is what the others are held to.
        if stream.name != "background" and len(stream):
            _, refused = refuse_gross(stream, fields, sampler["gross_error"])
            if sampler["robust"] is not None and len(stream):
                deweighted = deweight(stream, fields, sampler["robust"])
        counts.append(Counts(stream.name, len(stream), refused, deweighted))
    return counts


def _case_dataset(
    prior: Prior,
    case: Case,
    *,
    ensemble: xr.DataArray,
    interpolated: np.ndarray,
    counts: list[Counts],
) -> xr.Dataset:
    normalisation, times = prior.normalisation, case.times
    cells = ("step", "level", "latitude", "longitude")
    kelvin = {"units": "K"}
    return xr.Dataset(
        {
            "analysis": (("member", *cells), ensemble.values, kelvin),
            "truth": (cells, normalisation.to_kelvin(case.truth, times), kelvin),
            "interpolation": (cells, normalisation.to_kelvin(interpolated, times), kelvin),
            "climatology": (cells, normalisation.climatology(times).astype(np.float32), kelvin),
            **{
                f"observations_{name}": ("stream", [getattr(count, name) for count in counts])
                for name in ("used", "refused", "deweighted")
            },
        },
        coords={
            "stream": [count.stream for count in counts],
            "time": ("step", times),
            **{n: prior.statistics[n].values for n in cells[1:]},
        },
    )
