"""Write the synthetic planet in the raw formats of the archives."""

from pathlib import Path

from slams.archives import planet
from slams.job import job

with job(snakemake.log[0]):
    settings = snakemake.params.planet
    planet.write(
        Path(snakemake.output.era5).parent,
        start=snakemake.params.first,
        end=snakemake.params.last,
        spacing=settings["spacing"],
        levels=snakemake.params.levels,
        hours=snakemake.params.hours,
        stations=settings["stations"],
        imagery_spacing=settings["imagery_spacing"],
        channels=snakemake.params.channels,
        seed=snakemake.params.seed,
    )
