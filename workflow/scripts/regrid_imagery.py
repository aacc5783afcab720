"""A year of images on the common cells, one variable a channel."""

import json
from datetime import datetime
from pathlib import Path

from slams.archives import imagery, inventory
from slams.grid import Grid
from slams.job import job
from slams.provenance import atomic, attributes

with job(snakemake.log[0]):
    data = imagery.merged(
        {
            channel: inventory.onto(images, Grid(snakemake.params.spacing))
            for channel, images in imagery.listed(
                json.loads(Path(snakemake.input.inventory).read_text()),
                snakemake.params.channels,
                [datetime.fromisoformat(time) for time in snakemake.params.times],
            )
        },
        snakemake.input.inventory,
    )
    data.attrs = attributes(snakemake.config, snakemake.config["seed"], snakemake.input)
    with atomic(snakemake.output[0]) as path:
        data.to_netcdf(path)
