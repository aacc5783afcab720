"""Read a year's raw files of imagery in full; write their inventory."""

from datetime import datetime

from slams.archives import gridsat, inventory
from slams.job import job
from slams.provenance import attributes

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
    facts = attributes(snakemake.config, snakemake.config["seed"], [])
    facts["inputs"] = inventory.hashes(found)
    inventory.write(found | facts, snakemake.output[0])
