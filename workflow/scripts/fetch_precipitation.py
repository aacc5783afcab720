"""A year of CPC's daily precipitation."""

from pathlib import Path

from slams.archives import psl
from slams.job import job

with job(snakemake.log[0]):
    target = Path(snakemake.output[0])
    psl.fetch(target.name, target.parent, "precipitation")
