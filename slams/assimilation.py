"""One cell of the ablation from start to end: cases, observations, ensembles.

A case is a window of the test period; what it saw, :mod:`slams.observing` says, to every arm and
to the classical analyses (:mod:`slams.classical.cells`) alike.
"""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from tqdm import tqdm

from slams.cases import seed_of
from slams.observation.representation import DecoderError
from slams.observing import Counts, Observed, Observer, Streams
from slams.paper import arms as paper
from slams.paper.inputs import EncoderInputs
from slams.posterior import sample
from slams.posterior.checks import deviations
from slams.prior import Prior
from slams.store import Store

log = logging.getLogger(__name__)


def _through(prior: Prior, windows: torch.Tensor) -> torch.Tensor:
    """Windows through the prior's autoencoder and back."""
    with torch.no_grad():
        # One at a time: a case may have many steps, and there are two dozen of them.
        ones = (window.to(prior.device) for window in windows.split(1))
        return torch.cat([prior.decode(prior.encode(window)).cpu() for window in ones])


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
    beside: EncoderInputs | None = None,
) -> xr.Dataset:
    """All cases of one cell, ``steps`` each: ``analysis.nc`` of docs/architecture.md.

    ``arm`` has name, space and streams; ``axis`` is "none" for an arm without background,
    ``settings`` is what the axis holds fixed; ``sampler`` is that section of the configuration.
    With the recipe "paper" the ensembles are the paper's (:mod:`slams.paper`), by its own
    ``sampler``; ``beside`` is what the paper's encoder takes beside the temperature. Raises
    SlamsError where a store is not of the prior's fields, where they are no temperatures, and where
    a case has no observation left.
    """
    observer = Observer(
        prior.normalisation,
        test,
        validation,
        names=list(arm["streams"]),
        axis=axis,
        value=value,
        settings=settings,
        streams=streams,
        cases=cases,
        steps=steps,
        step_hours=prior.step_hours,
        quality=sampler,
        seed=seed,
        label=f"arm {arm['name']}",
    )
    decoder = None
    # The paper's observations are of latents, and its encoder may take more than a field.
    if prior.space == "latent" and arm.get("recipe") != "paper":
        decoder = DecoderError(observer.windows, _through(prior, observer.windows))
    pieces = []
    observed = tqdm(observer.observed(), total=cases, unit="case", mininterval=10)
    for number, seen in enumerate(observed):
        drawn = seed_of(seed, arm["name"], axis, float(value), number)
        counts = seen.counts
        # Of what entered, before the sampler moves it to its device.
        entered = _entered(prior, seen, streams)
        if arm.get("recipe") == "paper":
            encoded = paper.observe(
                prior, seen.case, observer.background, inputs=beside, seed=seen.seed
            )
            counts = [Counts(encoded.name, len(encoded), 0, 0)]
            ensemble = paper.analyse(prior, encoded, sampler, seed=drawn)
            _warn_of_far(prior, ensemble, sampler["plausible"], number + 1)
        else:
            if decoder is not None:
                decoder.add_to(seen.observations)
            ensemble = sample(
                prior,
                seen.observations,
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
        pieces.append(_case_dataset(prior, seen, ensemble, counts).merge(entered))
        log.info("case %d of %d: %s", number + 1, cases, ", ".join(map(str, counts)))
    data = xr.concat(pieces, dim="case", coords="different", compat="equals").assign_coords(
        case=np.arange(cases), member=np.arange(sampler["members"])
    )
    data.attrs = {
        "arm": arm["name"],
        "space": arm["space"],
        "streams": " ".join(observer.names),
        "axis": axis,
        "axis_value": f"{value:g}",
    }
    return data


def _warn_of_far(prior: Prior, ensemble: xr.DataArray, plausible: float, case: int) -> None:
    """Warn of members of the paper's sampler that no weather looks like."""
    far = deviations(prior, ensemble).max((1, 2, 3, 4))
    beyond = ~(far <= plausible)  # not a number is beyond, too
    if beyond.any():
        # It is shown as the paper has it, which knows no such limit.
        log.warning(
            "case %d: %d of %d members of the paper's sampler are more than %g standard "
            "deviations from the climatology, up to %.3g",
            case,
            beyond.sum(),
            len(far),
            plausible,
            far.max(),
        )


def _entered(prior: Prior, seen: Observed, streams: Streams) -> xr.Dataset:
    """For figures: the background as first guess, in K, and which stations were used."""
    cells = ("step", "level", "latitude", "longitude")
    background = np.full(seen.guess.shape, np.nan, np.float32)
    result = xr.Dataset()
    for stream in seen.observations:
        if stream.name == "background":
            background = prior.normalisation.to_kelvin(seen.guess, seen.case.times)
        if stream.name == "stations" and streams.station_fit is not None:
            fit = streams.station_fit
            fit = fit.isel(station=np.flatnonzero(~fit["held_out"].values))
            used = torch.isfinite(stream.full).numpy().astype(np.int8)
            result["station_used"] = (("step", "station"), used)
            result = result.assign_coords(
                station=fit["station"].values.astype(str),
                station_latitude=("station", fit["latitude"].values, {"units": "degrees_north"}),
                station_longitude=("station", fit["longitude"].values, {"units": "degrees_east"}),
            )
    return result.assign(background=(cells, background, {"units": "K"}))


def _case_dataset(
    prior: Prior, seen: Observed, ensemble: xr.DataArray, counts: list[Counts]
) -> xr.Dataset:
    normalisation, times = prior.normalisation, seen.case.times
    cells = ("step", "level", "latitude", "longitude")
    kelvin = {"units": "K"}
    return xr.Dataset(
        {
            "analysis": (("member", *cells), ensemble.values, kelvin),
            "truth": (cells, normalisation.to_kelvin(seen.case.truth, times), kelvin),
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
