"""Fit the background of some steps before on the training period."""

from slams.job import job
from slams.netcdf import load_dataset
from slams.observation.persistence_fit import fit
from slams.provenance import atomic, attributes
from slams.store import Store

with job(snakemake.log[0]):
    fitted = fit(
        Store(snakemake.input.store),
        load_dataset(snakemake.input.statistics),
        steps=int(snakemake.wildcards.value),
        step_hours=snakemake.params.step_hours,
        coarse=snakemake.params.coarse,
    )
    inputs = [snakemake.input.store, snakemake.input.statistics]
    fitted.attrs |= attributes(snakemake.config, snakemake.params.seed, inputs)
    with atomic(snakemake.output[0]) as path:
        fitted.to_netcdf(path)
