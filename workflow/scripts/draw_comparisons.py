"""Paired comparisons of the arms."""

from pathlib import Path

import pandas as pd

from slams.figures import comparisons, save
from slams.job import job

with job(snakemake.log[0]):
    table = pd.read_parquet(snakemake.input.comparisons)
    figure = comparisons(table, arms=snakemake.params.arms)
    save(figure, Path(snakemake.output[0]).with_suffix(""))
