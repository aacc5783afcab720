"""The classical analyses of a cell from start to end: ``classical.nc`` of docs/architecture.md."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr

from slams.classical.blocks import Found, Points, analyse_blocks, no_points, partition
from slams.classical.ensemble import CPU, Sample
from slams.classical.innovations import innovations, sharing
from slams.classical.interpolation import interpolate
from slams.classical.persistence import persist
from slams.classical.tuning import Tuned, tune
from slams.observation.persistence import Persistence
from slams.observation.stations import StationOperator
from slams.observing import Observed, Observer, check_store
from slams.store import Store
from slams.tapers import cell_places, unit_vectors

log = logging.getLogger(__name__)

CELLS = ("step", "level", "latitude", "longitude")
# Kelvin by name: fields (case, step, level, latitude, longitude), held-out stations (case, step, s)
Arrays = dict[str, np.ndarray]


def analyse_cell(
    observer: Observer,
    train: Store,
    settings: Mapping[str, Any],
    device: torch.device = CPU,
) -> xr.Dataset:
    """Every classical analysis of a cell's cases, in K.

    ``observer`` says what the cases see, ``train`` is the training period's store, ``settings`` the
    configuration's section classical, ``device`` where all is computed that takes long. Stations
    that were held out are analysed where the streams
    have a station fit, assimilated or not. Raises SlamsError where the training period has too few
    windows, where a case has no observation left, and where an analysis is not finite.
    """
    check_store(observer.normalisation, train, "train")
    dataset = observer.normalisation.dataset
    latitude, longitude = dataset["latitude"].values, dataset["longitude"].values
    sample = Sample(
        train,
        observer.normalisation,
        steps=observer.steps,
        step_hours=observer.step_hours,
        count=settings["samples"],
        rotations=settings["rotations"],
        seed=observer.seed,
        device=device,
    )
    held = _held_out(observer)
    points = no_points(sample) if held is None else _points(observer, sample, held)
    blocks = partition(latitude, longitude, points, settings["block_km"])
    tuned = tune(observer, sample, settings, blocks, latitude, longitude)
    observed = list(observer.observed())
    analysed: dict[int, dict[str, Found]] = {}
    for group in sharing(observed):
        seen = [innovations(observed[n], sample, latitude, longitude) for n in group]
        found = analyse_blocks(
            tuned.analysers(seen, settings["oi"]["observations"], settings["letkf"]["members"]),
            [len(group), *[1] * len(group)],
            sample,
            blocks,
            points,
            cell_places(latitude, longitude),
        )
        for place, number in enumerate(group):
            analysed[number] = {"oi": _one(found[0], place), "letkf": _one(found[1 + place], 0)}
            log.info("case %d: %s", number + 1, ", ".join(map(str, observed[number].counts)))
    spread = None if held is None else points.images.std(0).cpu().numpy()
    pieces = [
        _case(observer, seen, analysed[number], held, spread)
        for number, seen in enumerate(observed)
    ]
    data = xr.concat(pieces, dim="case").assign_coords(case=np.arange(len(pieces)))
    data["climatology_spread"] = dataset["climatology_spread"].astype(np.float32)
    data["climatology_spread"].attrs["units"] = "K"
    data.attrs = {
        "streams": " ".join(observer.names),
        "axis": observer.axis,
        "axis_value": f"{observer.value:g}",
        "samples": len(sample),
        **_described(tuned),
        "letkf_members": settings["letkf"]["members"],
    }
    return data


def _described(tuned: Tuned) -> dict[str, float]:
    return {
        "oi_radius_km": tuned.oi_radius_km,
        "letkf_radius_km": tuned.letkf_radius_km,
        "letkf_inflation": tuned.letkf_inflation,
    }


def _one(found: Found, place: int) -> Found:
    """One case's part."""
    return Found(
        found.mean[place],
        found.variance[place],
        found.station_mean[place],
        found.station_variance[place],
    )


def _held_out(observer: Observer) -> xr.Dataset | None:
    """The fit of the stations that were held out, if there are any."""
    fit = observer.streams.station_fit
    if fit is None or not fit["held_out"].values.any():
        return None
    return fit.isel(station=np.flatnonzero(fit["held_out"].values))


def _points(observer: Observer, sample: Sample, held: xr.Dataset) -> Points:
    """Where they are, and what they would have read of the sample's windows."""
    first = observer.known[0]
    operator = StationOperator(held, observer.normalisation, first.times).to(sample.device)
    # The operator is linear and a constant: images do not depend on the time.
    images = sample.images(operator, np.zeros_like(first.truth))
    nearest = held["weights"].values.argmax(1)
    cells = np.take_along_axis(held["indices"].values, nearest[:, None], 1)[:, 0]
    places = unit_vectors(held["latitude"].values, held["longitude"].values)
    return Points(places, cells, images)


def _case(
    observer: Observer,
    seen: Observed,
    analysed: Mapping[str, Found],
    held: xr.Dataset | None,
    spread: np.ndarray | None,
) -> xr.Dataset:
    normalisation, times = observer.normalisation, seen.case.times
    dataset = normalisation.dataset
    interpolated = interpolate(
        seen.observations,
        observer.first,
        windows=observer.windows,
        climate=seen.climate,
        latitude=dataset["latitude"].values,
        longitude=dataset["longitude"].values,
    )
    climatology = normalisation.climatology(times).astype(np.float32)
    fields: Arrays = {
        "climatology": climatology,
        "interpolation": normalisation.to_kelvin(interpolated, times),
    }
    scale = normalisation.scale[:, None, None]
    for name, found in analysed.items():
        shape = climatology.shape
        fields[name] = (climatology + found.mean.reshape(shape) * scale).astype(np.float32)
        fields[f"{name}_spread"] = (np.sqrt(found.variance.reshape(shape)) * scale).astype(
            np.float32
        )
    background = observer.background
    if isinstance(background, Persistence):
        (stream,) = (s for s in seen.observations if s.name == "background")
        fields["persistence"] = persist(stream, background, normalisation, seen.climate)
    result = xr.Dataset(
        {name: (CELLS, field, {"units": "K"}) for name, field in fields.items()},
        coords={"time": ("step", times), **{n: dataset[n].values for n in CELLS[1:]}},
    )
    if held is None or spread is None:
        return result
    stations: Arrays = {
        "climatology_spread": np.broadcast_to(spread, (len(times), *spread.shape[1:]))
    }
    operator = StationOperator(held, normalisation, times)
    for name in ("climatology", "interpolation", "persistence"):
        if name in fields:
            state = normalisation.normalise(fields[name], times)
            stations[name] = operator(torch.from_numpy(state)[None])[0].numpy()
    for name, found in analysed.items():
        stations[name] = stations["climatology"] + found.station_mean
        stations[f"{name}_spread"] = np.sqrt(found.station_variance)
    return result.assign(
        {
            _at_stations(name): (("step", "station"), values.astype(np.float32), {"units": "K"})
            for name, values in stations.items()
        }
    ).assign_coords(station=held["station"].values.astype(str))


def _at_stations(name: str) -> str:
    """oi_spread to oi_stations_spread."""
    method, _, of = name.partition("_")
    return f"{method}_stations" + (f"_{of}" if of else "")
