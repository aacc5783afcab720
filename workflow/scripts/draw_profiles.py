"""RMSE and spread by level at one cell of an axis."""

from pathlib import Path

import pandas as pd

from slams.figures import profiles, save
from slams.job import job
from slams.verification import STATION_LEVEL, summary

with job(snakemake.log[0]):
    scores = summary(pd.read_parquet(snakemake.input.scores))
    figure = profiles(
        scores[scores["level"] != STATION_LEVEL],
        snakemake.wildcards.axis,
        float(snakemake.params.value),
        arms=snakemake.params.arms,
    )
    save(figure, Path(snakemake.output[0]).with_suffix(""))
