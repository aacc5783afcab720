"""Stations and images of a small planet's truth, for whole cells."""

import numpy as np
import pandas as pd
import torch
import xarray as xr
from worlds import GRID, LEVELS, IdealPrior, thermometers

from slams.observation.imagery import ImageryModel, ImageryNetwork, ImageryOperator
from slams.observation.stations import StationOperator
from slams.observing import Streams
from slams.statistics import Normalisation
from slams.store import Store

COUNT, HELD_OUT, WRONG = 30, 5, 9  # stations; number WRONG always reads 25 K too much


def streams_of(
    *stores: Store, window: int = 2, count: int = COUNT, contrast: float = 1.0
) -> Streams:
    """Stations and images of the ``stores``' fields; pixels in the north are missing.

    ``count`` stations; images answer to the state ``contrast`` times as strongly as an untrained
    network, which says next to nothing of it.
    """
    times = np.concatenate([store.times for store in stores])
    truth = torch.from_numpy(np.concatenate([store.fields for store in stores]))[None]
    normalisation = Normalisation(IdealPrior(window).statistics)
    rng = np.random.default_rng(1)
    places = np.degrees(np.arcsin(rng.uniform(-1, 1, count))), rng.uniform(0, 360, count)
    fit = thermometers(*places, held_out=HELD_OUT)
    readings = StationOperator(fit, normalisation, times)(truth)[0].numpy()
    readings = readings + rng.standard_normal(readings.shape)
    readings[:, WRONG] += 25.0
    table = pd.DataFrame(
        {
            "time": np.repeat(times, count),
            "station_id": np.tile(fit["station"].values, len(times)),
            "latitude": np.tile(places[0], len(times)),
            "longitude": np.tile(places[1], len(times)),
            "air_temperature": readings.ravel(),
        }
    )
    torch.manual_seed(2)
    network = ImageryNetwork(len(LEVELS), width=8).eval().requires_grad_(False)
    last = network.layers[-1]
    last.weight[:1] *= contrast
    season = np.full((1, 1, *GRID.shape), 250.0)
    model = ImageryModel(network, ("irwin_cdr",), season, np.array([10.0]))
    seen = ImageryOperator(model, normalisation, times)(truth)[0].numpy()
    images = xr.DataArray(
        250 + 10 * (seen + 0.1 * rng.standard_normal(seen.shape)),
        dims=("time", "channel", "latitude", "longitude"),
        coords={
            "time": times,
            "channel": ["irwin_cdr"],
            "latitude": GRID.latitude,
            "longitude": GRID.longitude,
        },
    )
    images[:, :, :3] = np.nan
    return Streams(table, fit, images.isel(time=slice(None, None, -1)), model)
