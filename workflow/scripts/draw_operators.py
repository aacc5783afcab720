"""Calibration of each stream's error model."""

from pathlib import Path

import pandas as pd

from slams.figures import operator_fit, save
from slams.job import job

with job(snakemake.log[0]):
    figure = operator_fit(pd.read_parquet(snakemake.input.residuals))
    save(figure, Path(snakemake.output[0]).with_suffix(""))
