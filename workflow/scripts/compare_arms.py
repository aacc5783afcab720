"""Every arm against the classical analyses and the reference arm, case by case."""

import pandas as pd

from slams.job import job
from slams.provenance import atomic, attributes
from slams.verification import compare

with job(snakemake.log[0]):
    compared = compare(
        pd.read_parquet(snakemake.input.scores),
        reference=snakemake.params.reference,
        bootstrap=snakemake.params.bootstrap,
        block=snakemake.params.block,
        seed=snakemake.params.seed,
    )
    compared.attrs |= attributes(snakemake.config, snakemake.params.seed, snakemake.input)
    with atomic(snakemake.output[0]) as path:
        compared.to_parquet(path, index=False)
