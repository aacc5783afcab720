"""A year of brightness temperature on the common cells."""

from datetime import datetime

from slams import series
from slams.archives import gridsat, inventory
from slams.grid import Grid
from slams.job import job
from slams.provenance import attributes

with job(snakemake.log[0]):
    wanted = [datetime.fromisoformat(time) for time in snakemake.params.times]
    times = inventory.available(snakemake.input.inventory, wanted)
    images = inventory.regrid(
        snakemake.input.inventory,
        lambda path: [gridsat.open(path)],
        Grid(snakemake.params.spacing),
        times,
    )
    series.write(
        snakemake.output[0],
        times,
        (image.to_dataset() for image in images),
        attributes(snakemake.config, snakemake.config["seed"], snakemake.input),
    )
