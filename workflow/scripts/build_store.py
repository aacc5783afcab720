"""The normalised fields of one split."""

from datetime import datetime
from pathlib import Path

from slams.job import job
from slams.netcdf import load_dataset
from slams.provenance import attributes
from slams.store import build

with job(snakemake.log[0]):
    first, last = map(datetime.fromisoformat, snakemake.params.period)
    build(
        snakemake.input.fields,
        load_dataset(snakemake.input.statistics),
        (first, last),
        Path(snakemake.output.description),
        attributes(
            snakemake.config,
            snakemake.params.seed,
            [*snakemake.input.fields, snakemake.input.statistics],
        ),
    )
