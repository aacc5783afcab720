"""The land-sea mask from a public Zarr."""

from slams.archives import arco
from slams.job import job

with job(snakemake.log[0]):
    arco.fetch_land_mask(
        snakemake.output[0],
        spacing=snakemake.params.spacing,
        address=snakemake.params.address,
    )
