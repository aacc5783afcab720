"""One tidy table of every cell."""

from slams.job import job
from slams.provenance import atomic, attributes
from slams.verification import merge

with job(snakemake.log[0]):
    scores = merge(snakemake.input)
    scores.attrs |= attributes(snakemake.config, snakemake.params.seed, snakemake.input)
    with atomic(snakemake.output[0]) as path:
        scores.to_parquet(path, index=False)
