"""Wasserstein distances of the arms that are the paper's models, beside those it published."""

import pandas as pd

from slams.job import job
from slams.paper.wasserstein import beside
from slams.provenance import atomic

with job(snakemake.log[0]):
    table = beside(pd.read_parquet(snakemake.input.scores), snakemake.params.arms)
    with atomic(snakemake.output[0]) as path:
        table.to_csv(path, index=False)
