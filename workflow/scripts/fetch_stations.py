"""A year of station files, and the manifest of what there is and what is missing."""

from datetime import datetime
from pathlib import Path

from slams.archives import inventory, station_fetch, station_lists
from slams.job import job

with job(snakemake.log[0]):
    year = int(snakemake.wildcards.year)
    product = snakemake.params.product
    if product == "ghcnh":
        stations = station_lists.reporting_ghcnh(snakemake.input.inventory, year)
    else:
        history = station_lists.read_history(snakemake.input.history)
        stations = station_lists.reporting(history, year)
    manifest = Path(snakemake.output.manifest)
    folder = manifest.parent if product == "ghcnh" else manifest.parent / product
    found = station_fetch.fetch_year(
        year,
        stations,
        folder,
        product,
        snakemake.params.mirrors,
        until=datetime.fromisoformat(snakemake.params.until),
    )
    inventory.write(found, manifest)
