"""One month of ERA5 from a public Zarr."""

from slams.archives import arco
from slams.job import job

with job(snakemake.log[0]):
    arco.fetch(
        int(snakemake.wildcards.year),
        int(snakemake.wildcards.month),
        snakemake.output[0],
        levels=snakemake.params.levels,
        hours=snakemake.params.hours,
        spacing=snakemake.params.spacing,
        address=snakemake.params.address,
    )
