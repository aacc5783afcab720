"""One month of ERA5 from the Climate Data Store."""

from slams.archives import era5
from slams.job import job

with job(snakemake.log[0]):
    era5.fetch(
        int(snakemake.wildcards.year),
        int(snakemake.wildcards.month),
        snakemake.output[0],
        levels=snakemake.params.levels,
        hours=snakemake.params.hours,
        spacing=snakemake.params.spacing,
    )
