"""Read a year's raw files of imagery in full; write their inventory."""

from datetime import datetime

from slams.archives import gridsat, inventory
from slams.job import job

with job(snakemake.log[0]):
    year = int(snakemake.wildcards.year)
    found = inventory.take(
        inventory.files(snakemake.input.raw, year, "GRIDSAT-B1.*.nc"),
        gridsat.inspect,
        archive="imagery",
        year=year,
        wanted=[datetime.fromisoformat(time) for time in snakemake.params.times],
        complete=False,
    )
    inventory.write(found, snakemake.output[0])
