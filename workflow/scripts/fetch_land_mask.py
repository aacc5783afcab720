"""The land-sea mask from the Climate Data Store."""

from slams.archives import era5_cds
from slams.job import job

with job(snakemake.log[0]):
    era5_cds.fetch_land_mask(snakemake.output[0], spacing=snakemake.params.spacing)
