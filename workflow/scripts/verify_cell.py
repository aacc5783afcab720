"""The scores of a cell."""

import xarray as xr

from slams.job import job
from slams.provenance import atomic, attributes
from slams.verification import score_cell

with job(snakemake.log[0]):
    given = snakemake.input
    with xr.open_dataset(given.analysis) as analysis, xr.open_dataset(given.classical) as classical:
        names = ["climatology", "climatology_spread", "interpolation"]
        scores = score_cell(
            analysis.assign({name: classical[name] for name in names}),
            bootstrap=snakemake.params.bootstrap,
            seed=snakemake.params.seed,
        )
    scores.attrs |= attributes(snakemake.config, snakemake.params.seed, given)
    with atomic(snakemake.output[0]) as path:
        scores.to_parquet(path, index=False)
