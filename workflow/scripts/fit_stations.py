"""Fit the station operator on the training period."""

from functools import partial

from slams.archives import station_set
from slams.grid import Grid
from slams.job import job
from slams.netcdf import load_dataset
from slams.observation.stations_fit import fit
from slams.provenance import atomic, attributes
from slams.store import Store

with job(snakemake.log[0]):
    fitted = fit(
        partial(station_set.read, snakemake.input.tables),
        Store(snakemake.input.store),
        load_dataset(snakemake.input.statistics),
        Grid(snakemake.params.spacing),
        levels_used=snakemake.params.levels_used,
        held_out=snakemake.params.held_out,
        minimum_observations=snakemake.params.minimum_observations,
        seed=snakemake.params.seed,
    )
    inputs = [*snakemake.input.tables, snakemake.input.store, snakemake.input.statistics]
    fitted.attrs |= attributes(snakemake.config, snakemake.params.seed, inputs)
    with atomic(snakemake.output[0]) as path:
        fitted.to_netcdf(path)
