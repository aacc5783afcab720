"""The scores of a cell."""

from datetime import datetime
from functools import partial

import xarray as xr

from slams.archives import station_set
from slams.job import job
from slams.provenance import atomic, attributes
from slams.verification import Stations, score_cell

with job(snakemake.log[0]):
    given = snakemake.input
    stations = None
    if hasattr(given, "station_fit"):
        fitted = xr.load_dataset(given.station_fit)
        stations = Stations(fitted, partial(station_set.read, given.stations))
    with (
        xr.open_dataset(given.analysis) as analysis,
        xr.open_dataset(given.classical) as classical,
    ):
        scores = score_cell(
            analysis,
            classical,
            xr.load_dataset(given.statistics),
            stations=stations,
            period=tuple(map(datetime.fromisoformat, snakemake.params.period)),
            every=snakemake.params.every,
            bootstrap=snakemake.params.bootstrap,
            block=snakemake.params.block,
            seed=snakemake.params.seed,
        )
    scores.attrs |= attributes(snakemake.config, snakemake.params.seed, given)
    with atomic(snakemake.output[0]) as path:
        scores.to_parquet(path, index=False)
