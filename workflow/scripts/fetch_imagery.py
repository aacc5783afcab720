"""A year of GridSat-B1 images, and the manifest of those there are."""

from pathlib import Path

from slams.archives import gridsat, inventory
from slams.job import job

with job(snakemake.log[0]):
    manifest = Path(snakemake.output.manifest)
    files = gridsat.fetch(snakemake.params.times, manifest.parent)
    inventory.write({"files": list(map(str, files))}, manifest)
