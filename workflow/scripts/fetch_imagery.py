"""A year of GridSat-B1 images, and the manifest of those there are and those there are not."""

from pathlib import Path

from slams.archives import gridsat, inventory
from slams.job import job

with job(snakemake.log[0]):
    manifest, times = Path(snakemake.output.manifest), snakemake.params.times
    files = gridsat.fetch(times, manifest.parent, mirrors=snakemake.params.mirrors)
    inventory.write(gridsat.manifest(files, times), manifest)
