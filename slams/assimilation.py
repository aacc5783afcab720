"""One cell of the ablation from start to end: cases, observations, ensembles, classical analyses.

A case is a window of the test period. The degraded background of a case depends on the seed,
axis, value and case, never on the arm, so that all arms of an axis value see the same one.
"""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from tqdm import tqdm

from slams.classical import FirstGuess, fit_first_guess, interpolate
from slams.errors import SlamsError
from slams.observation import BlockMean, EveryNth, Identity, Observation, Observations
from slams.observation import imagery as imagery_stream
from slams.observation import stations as station_stream
from slams.observation.base import Operator, refuse_gross, representation_variance
from slams.observation.degraded import degrade
from slams.posterior import sample
from slams.prior import Prior
from slams.statistics import Normalisation
from slams.store import Store

log = logging.getLogger(__name__)

VALIDATION_WINDOWS = 24  # for representation errors, expected innovations, first-guess errors


@dataclass
class Streams:
    """What an arm may observe beside the background; None where its archive is not used."""

    stations: pd.DataFrame | None = None
    station_fit: xr.Dataset | None = None
    imagery: xr.DataArray | None = None
    imagery_model: imagery_stream.ImageryModel | None = None


def seed_of(*parts: Any) -> int:
    """A seed (63 bits) that depends on ``parts`` alone."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def choose_cases(store: Store, cases: int, window: int, step_hours: float) -> np.ndarray:
    """Starts (case,) of ``cases`` windows spread evenly over the test period.

    Raises SlamsError where the period has fewer windows.
    """
    starts = store.starts(window, step_hours)
    if len(starts) < cases:
        raise SlamsError(
            f"cases: {cases} are asked for, but periods.test holds {len(starts)} windows of "
            f"{window} steps; lower cases or widen the period"
        )
    return starts[np.linspace(0, len(starts) - 1, cases).round().astype(int)]


def degradation(axis: str, value: float, section: Mapping[str, Any]) -> tuple[Operator, float, int]:
    """Operator, noise (normalised units) and observed steps of an axis at a value.

    ``section`` is the axis's section of the configuration.
    """
    if axis == "coarse":
        return BlockMean(int(value)), float(section["noise"]), int(section["every"])
    if axis == "noise":
        factor = int(section["coarse"])
        operator: Operator = BlockMean(factor) if factor > 1 else Identity()
        return operator, float(value), int(section["every"])
    if axis == "sparse":
        return EveryNth(int(value)), float(section["noise"]), int(section["every"])
    raise SlamsError(f"axis {axis!r} is not coarse, noise or sparse")


def _validation_windows(
    store: Store, window: int, step_hours: float
) -> tuple[torch.Tensor, np.ndarray]:
    """Windows (n, step, level, latitude, longitude) and the times of their steps (n, step)."""
    starts = store.starts(window, step_hours)
    if len(starts) < 2:
        raise SlamsError(
            f"periods.validation holds {len(starts)} windows of {window} steps, too few to say "
            "what is to be expected: widen it"
        )
    chosen = np.unique(np.linspace(0, len(starts) - 1, VALIDATION_WINDOWS).round().astype(int))
    starts = starts[chosen]
    times = store.times[starts[:, None] + np.arange(window)]
    return torch.from_numpy(store.batch(starts, window)), times


def _climate(normalisation: Normalisation, times: np.ndarray) -> np.ndarray:
    """The climatology (step, level, latitude, longitude) in normalised units."""
    return normalisation.normalise(normalisation.climatology(times), times)


def _through(prior: Prior, windows: torch.Tensor) -> torch.Tensor:
    """Windows through the prior's autoencoder and back."""
    with torch.no_grad():
        return prior.decode(prior.encode(windows.to(prior.device))).cpu()


def observe_case(
    prior: Prior,
    truth: np.ndarray,
    times: np.ndarray,
    *,
    names: list[str],
    background: tuple[Operator, float, int] | None,
    streams: Streams,
    seed: int,
) -> Observations:
    """The observations of one case by the streams called ``names``."""
    made: list[Observation] = []
    if "background" in names:
        if background is None:
            raise SlamsError("an arm with a background needs an axis and a value")
        operator, noise, every = background
        made.append(degrade(truth, operator, times, noise=noise, every=every, seed=seed))
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
    return Observations(made)


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
    sampler: Mapping[str, Any],
    seed: int,
) -> xr.Dataset:
    """All cases of one cell: the data set ``analysis.nc`` of docs/architecture.md.

    ``arm`` has name, space and streams; ``axis`` is "none" for an arm without background,
    ``settings`` is what the axis holds fixed;
    ``sampler`` is that section of the configuration. Raises SlamsError where a case has no
    observation left.
    """
    names = list(arm["streams"])
    background = degradation(axis, value, settings) if "background" in names else None
    starts = choose_cases(test, cases, prior.window, prior.step_hours)
    windows, times_of = _validation_windows(validation, prior.window, prior.step_hours)
    rebuilt = _through(prior, windows) if prior.space == "latent" else windows
    climates = np.stack([_climate(prior.normalisation, times) for times in times_of])
    first = _first_guess(
        windows, climates, background, seed_of(seed, "validation", axis, float(value))
    )
    coordinates = {n: prior.statistics[n].values for n in ("level", "latitude", "longitude")}
    pieces = []
    for number, start in enumerate(tqdm(starts, unit="case", mininterval=10)):
        times = test.times[start : start + prior.window]
        truth = test.window(start, prior.window)
        drawn = seed_of(seed, axis, float(value), number)
        observations = observe_case(
            prior,
            truth,
            times,
            names=names,
            background=background,
            streams=streams,
            seed=drawn,
        )
        counts = _refuse(observations, windows, sampler["gross_error"])
        if not len(observations):
            raise SlamsError(
                f"arm {arm['name']}: the case from {np.datetime_as_string(times[0], 'h')} has no "
                "observation left after quality control; add a stream or move periods.test"
            )
        interpolated = interpolate(
            observations,
            first,
            windows=windows,
            climate=_climate(prior.normalisation, times),
            latitude=coordinates["latitude"],
            longitude=coordinates["longitude"],
        )
        if prior.space == "latent":
            _add_decoder_error(observations, windows, rebuilt)
        ensemble = sample(
            prior,
            observations,
            sampler["members"],
            steps=sampler["steps"],
            seed=seed_of(seed, arm["name"], axis, float(value), number),
            method=sampler["method"],
            solver=sampler["solver"],
            solver_iterations=sampler["solver_iterations"],
            sigma_min=sampler["sigma_min"],
            sigma_max=sampler["sigma_max"],
            plausible=sampler["plausible"],
        )
        pieces.append(
            _case_dataset(
                prior,
                ensemble=ensemble,
                truth=truth,
                interpolated=interpolated,
                times=times,
                counts=counts,
            )
        )
        log.info(
            "case %d of %d: %s",
            number + 1,
            cases,
            ", ".join(f"{n} {used} used, {refused} refused" for n, used, refused in counts),
        )
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


def _first_guess(
    windows: torch.Tensor,
    climates: np.ndarray,
    background: tuple[Operator, float, int] | None,
    seed: int,
) -> FirstGuess:
    if background is None:
        return fit_first_guess(windows, climates, None)
    operator, noise, every = background
    times = np.zeros(windows.shape[1], dtype="datetime64[ns]")
    degraded = [
        degrade(
            window.numpy(), operator, times, noise=noise, every=every, seed=seed_of(seed, number)
        )
        for number, window in enumerate(windows)
    ]
    return fit_first_guess(windows, climates, degraded)


def _refuse(
    observations: Observations, windows: torch.Tensor, gross_error: float
) -> list[tuple[str, int, int]]:
    """Refuse gross errors; (stream, used, refused) of each stream."""
    counts = []
    for stream in observations:
        refused = 0
        # The background is degraded here and has no gross errors.
        if stream.name != "background" and len(stream):
            _, refused = refuse_gross(stream, windows, gross_error)
        counts.append((stream.name, len(stream), refused))
    return counts


def _add_decoder_error(
    observations: Observations, windows: torch.Tensor, rebuilt: torch.Tensor
) -> None:
    """Add to R what the decoder cannot give, which only a latent prior has to bear."""
    for stream in observations:
        if len(stream):
            stream.inflate(representation_variance(stream, windows, rebuilt))


def _case_dataset(
    prior: Prior,
    *,
    ensemble: xr.DataArray,
    truth: np.ndarray,
    interpolated: np.ndarray,
    times: np.ndarray,
    counts: list[tuple[str, int, int]],
) -> xr.Dataset:
    normalisation = prior.normalisation
    cells = ("step", "level", "latitude", "longitude")
    kelvin = {"units": "K"}
    return xr.Dataset(
        {
            "analysis": (("member", *cells), ensemble.values, kelvin),
            "truth": (cells, normalisation.to_kelvin(truth, times), kelvin),
            "interpolation": (cells, normalisation.to_kelvin(interpolated, times), kelvin),
            "climatology": (cells, normalisation.climatology(times).astype(np.float32), kelvin),
            "observations_used": ("stream", [used for _, used, _ in counts]),
            "observations_refused": ("stream", [refused for *_, refused in counts]),
        },
        coords={
            "stream": [name for name, *_ in counts],
            "time": ("step", times),
            **{n: prior.statistics[n].values for n in cells[1:]},
        },
    )
