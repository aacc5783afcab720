"""The list of stations."""

from slams.archives import isd
from slams.job import job

with job(snakemake.log[0]):
    isd.fetch_history(snakemake.output[0])
