"""Read a year's raw files of imagery at the wanted times; write their inventory."""

from datetime import datetime

from slams.archives import imagery, inventory
from slams.job import job
from slams.provenance import attributes

with job(snakemake.log[0]):
    year = int(snakemake.wildcards.year)
    found = imagery.take(
        inventory.files(snakemake.input.raw, year, "GRIDSAT-B1.*.nc"),
        channels=snakemake.params.channels,
        year=year,
        wanted=[datetime.fromisoformat(time) for time in snakemake.params.times],
    )
    facts = attributes(snakemake.config, snakemake.config["seed"], [])
    facts["inputs"] = inventory.hashes(found)
    inventory.write(found | facts, snakemake.output[0])
