"""A score along every axis, averaged and level by level."""

from pathlib import Path

import pandas as pd

from slams.figures import ablation_curves, ablation_levels, save
from slams.job import job

with job(snakemake.log[0]):
    scores = pd.read_parquet(snakemake.input.scores)
    score, arms = snakemake.wildcards.score, snakemake.params.arms
    paper = pd.read_csv(snakemake.input.paper[0]) if snakemake.input.paper else None
    averaged = ablation_curves(scores, score, arms=arms, paper=paper)
    save(averaged, Path(snakemake.output.averaged[0]).with_suffix(""))
    levels = ablation_levels(scores, score, arms=arms, paper=paper)
    save(levels, Path(snakemake.output.levels[0]).with_suffix(""))
