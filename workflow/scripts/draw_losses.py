"""The loss curves of every network."""

from pathlib import Path

import pandas as pd

from slams.figures import losses, save
from slams.job import job

with job(snakemake.log[0]):
    curves = {Path(path).stem: pd.read_csv(path) for path in snakemake.input.curves}
    save(losses(curves), Path(snakemake.output[0]).with_suffix(""))
