"""The scores of a cell."""

import xarray as xr

from slams.job import job
from slams.provenance import atomic, attributes
from slams.verification import score_cell

with job(snakemake.log[0]):
    with xr.open_dataset(snakemake.input[0]) as analysis:
        scored = analysis.isel(step=slice(None, None, snakemake.params.every))
        scores = score_cell(
            scored, bootstrap=snakemake.params.bootstrap, seed=snakemake.params.seed
        )
    scores.attrs |= attributes(snakemake.config, snakemake.params.seed, snakemake.input)
    with atomic(snakemake.output[0]) as path:
        scores.to_parquet(path, index=False)
