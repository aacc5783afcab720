"""Climatology and scale of the training period."""

from datetime import datetime

from slams.grid import Grid
from slams.job import job
from slams.provenance import atomic, attributes
from slams.statistics import fit
from slams.store import read_fields

with job(snakemake.log[0]):
    first, last = map(datetime.fromisoformat, snakemake.params.period)
    statistics = fit(
        read_fields(snakemake.input.fields, (first, last)),
        Grid(snakemake.params.spacing).area_weights,
        harmonics=snakemake.params.harmonics,
        reference=snakemake.params.reference,
    )
    statistics.attrs |= attributes(snakemake.config, snakemake.params.seed, snakemake.input)
    with atomic(snakemake.output[0]) as path:
        statistics.to_netcdf(path)
