"""One month of ERA5 from the Climate Data Store."""

from slams.archives import era5_cds
from slams.job import job

with job(snakemake.log[0]):
    era5_cds.fetch(
        int(snakemake.wildcards.year),
        int(snakemake.wildcards.month),
        snakemake.output[0],
        levels=snakemake.params.levels,
        hours=snakemake.params.hours,
        spacing=snakemake.params.spacing,
        area=snakemake.params.area,
    )
