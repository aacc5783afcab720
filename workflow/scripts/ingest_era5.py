"""Read a year's raw files of ERA5 in full; write their inventory."""

from datetime import datetime

from slams.archives import era5, inventory
from slams.job import job
from slams.provenance import attributes

with job(snakemake.log[0]):
    year = int(snakemake.wildcards.year)
    found = inventory.take(
        inventory.files(snakemake.input.raw, year, "era5_t_*.nc"),
        era5.inspect,
        archive="era5",
        year=year,
        wanted=[datetime.fromisoformat(time) for time in snakemake.params.times],
        complete=True,
    )
    inventory.check_levels(found, snakemake.params.levels, snakemake.params.members)
    facts = attributes(snakemake.config, snakemake.config["seed"], [])
    facts["inputs"] = inventory.hashes(found)
    inventory.write(found | facts, snakemake.output[0])
