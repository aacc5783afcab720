"""GHCNh's list of stations, and which report in a year."""

from slams.archives import station_fetch
from slams.job import job

with job(snakemake.log[0]):
    station_fetch.fetch_ghcnh_lists(
        snakemake.output.stations, snakemake.output.inventory, snakemake.params.mirrors
    )
