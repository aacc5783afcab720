"""The normalised fields of one split."""

from datetime import datetime
from pathlib import Path

import xarray as xr

from slams.job import job
from slams.provenance import attributes
from slams.store import build

with job(snakemake.log[0]):
    first, last = map(datetime.fromisoformat, snakemake.params.period)
    build(
        snakemake.input.fields,
        xr.load_dataset(snakemake.input.statistics),
        (first, last),
        Path(snakemake.output.description),
        attributes(
            snakemake.config,
            snakemake.params.seed,
            [*snakemake.input.fields, snakemake.input.statistics],
        ),
    )
