"""A score along every axis."""

from pathlib import Path

import pandas as pd

from slams.figures import ablation_curves, save
from slams.job import job
from slams.verification import summary

with job(snakemake.log[0]):
    scores = summary(pd.read_parquet(snakemake.input.scores))
    figure = ablation_curves(scores, score=snakemake.wildcards.score, arms=snakemake.params.arms)
    save(figure, Path(snakemake.output[0]).with_suffix(""))
