"""A year of air temperature on the common cells."""

from datetime import datetime
from functools import partial

from slams import series
from slams.archives import era5, inventory
from slams.grid import Grid
from slams.job import job
from slams.provenance import attributes

with job(snakemake.log[0]):
    wanted = [datetime.fromisoformat(time) for time in snakemake.params.times]
    times = inventory.available(snakemake.input.inventory, wanted)
    fields = inventory.regrid(
        snakemake.input.inventory,
        partial(era5.pieces, levels=snakemake.params.levels),
        Grid(snakemake.params.spacing),
        times,
    )
    series.write(
        snakemake.output[0],
        times,
        (field.to_dataset() for field in fields),
        attributes(snakemake.config, snakemake.config["seed"], snakemake.input),
    )
