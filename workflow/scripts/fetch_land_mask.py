"""The land-sea mask from the Climate Data Store."""

from slams.archives import era5
from slams.job import job

with job(snakemake.log[0]):
    era5.fetch_land_mask(snakemake.output[0], spacing=snakemake.params.spacing)
