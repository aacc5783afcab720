"""A year of images on the common cells, one variable a channel."""

import json
from datetime import datetime
from pathlib import Path

from slams import series
from slams.archives import imagery
from slams.grid import Grid
from slams.job import job
from slams.provenance import attributes

with job(snakemake.log[0]):
    wanted = [datetime.fromisoformat(time) for time in snakemake.params.times]
    taken = json.loads(Path(snakemake.input.inventory).read_text())
    channels = snakemake.params.channels
    times = imagery.available(taken, channels, wanted)
    series.write(
        snakemake.output[0],
        times,
        imagery.regrid(taken, channels, Grid(snakemake.params.spacing), times),
        attributes(snakemake.config, snakemake.config["seed"], snakemake.input),
    )
