"""A year of air temperature on the common cells."""

from datetime import datetime
from functools import partial

from slams.archives import era5, inventory
from slams.grid import Grid
from slams.job import job
from slams.provenance import atomic, attributes

with job(snakemake.log[0]):
    field = inventory.regrid(
        snakemake.input.inventory,
        partial(era5.open, levels=snakemake.params.levels),
        Grid(snakemake.params.spacing),
        wanted=[datetime.fromisoformat(time) for time in snakemake.params.times],
    )
    data = field.to_dataset()
    data.attrs = attributes(snakemake.config, snakemake.config["seed"], snakemake.input)
    with atomic(snakemake.output[0]) as path:
        data.to_netcdf(path)
