"""ISD's list of stations."""

from slams.archives import station_fetch
from slams.job import job

with job(snakemake.log[0]):
    station_fetch.fetch_history(snakemake.output[0], snakemake.params.mirrors)
