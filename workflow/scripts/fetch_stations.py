"""A year of station files, and the manifest of those there are."""

from pathlib import Path

from slams.archives import inventory, isd
from slams.job import job

with job(snakemake.log[0]):
    year = int(snakemake.wildcards.year)
    stations = isd.reporting(isd.read_history(snakemake.input.history), year)
    manifest = Path(snakemake.output.manifest)
    files = isd.fetch_year(year, stations, manifest.parent, snakemake.params.format)
    inventory.write({"files": list(map(str, files))}, manifest)
