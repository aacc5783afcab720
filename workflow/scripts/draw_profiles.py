"""RMSE and spread by level at one cell of an axis."""

from pathlib import Path

import pandas as pd

from slams.figures import profiles, save
from slams.job import job

with job(snakemake.log[0]):
    figure = profiles(
        pd.read_parquet(snakemake.input.scores),
        snakemake.wildcards.axis,
        float(snakemake.params.value),
        arms=snakemake.params.arms,
    )
    save(figure, Path(snakemake.output[0]).with_suffix(""))
