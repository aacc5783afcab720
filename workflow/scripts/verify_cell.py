"""The scores of a cell, or of several."""

from datetime import datetime
from functools import partial

from slams.archives import station_set
from slams.batch import cells_of
from slams.job import job
from slams.netcdf import load_dataset, open_dataset
from slams.provenance import atomic, attributes
from slams.verification import Stations, score_cell

with job(snakemake.log[0]):
    params = snakemake.params
    statistics = load_dataset(snakemake.input.statistics)
    stations = None
    if hasattr(snakemake.input, "station_fit"):
        fitted = load_dataset(snakemake.input.station_fit)
        stations = Stations(fitted, partial(station_set.read, snakemake.input.stations))
    for cell in cells_of(snakemake):
        with (
            cell.named(),
            open_dataset(cell.given.analysis) as analysis,
            open_dataset(cell.given.classical) as classical,
        ):
            scores = score_cell(
                analysis,
                classical,
                statistics,
                stations=stations,
                period=tuple(map(datetime.fromisoformat, params.period)),
                every=params.every,
                bootstrap=params.bootstrap,
                block=params.block,
                seed=params.seed,
            )
        scores.attrs |= attributes(snakemake.config, params.seed, cell.inputs)
        with atomic(cell.output) as path:
            scores.to_parquet(path, index=False)
        cell.keep()
