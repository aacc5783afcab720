"""Train the imagery operator."""

from datetime import datetime
from pathlib import Path

import xarray as xr

from slams import device, training
from slams.job import job
from slams.observation.imagery import read
from slams.observation.imagery_fit import train_imagery
from slams.provenance import attributes
from slams.store import Store

with job(snakemake.log[0], snakemake.threads), device.claim(snakemake.params.device) as taken:
    settings = dict(snakemake.params.imagery)
    loop = settings.pop("training")
    channels = list(snakemake.params.channels)
    periods = {
        split: tuple(map(datetime.fromisoformat, period))
        for split, period in snakemake.params.periods.items()
    }
    images = [*snakemake.input.train_images, *snakemake.input.validation_images]
    inputs = [snakemake.input.train, snakemake.input.validation, *images]
    facts = attributes(snakemake.config, snakemake.params.seed, inputs)
    train_imagery(
        Store(snakemake.input.train),
        Store(snakemake.input.validation),
        Path(snakemake.output.model),
        statistics=xr.load_dataset(snakemake.input.statistics),
        channels=channels,
        pieces=list(read(snakemake.input.train_images, channels, periods["train"])),
        checks=list(read(snakemake.input.validation_images, channels, periods["validation"])),
        architecture=settings,
        harmonics=snakemake.params.harmonics,
        settings=training.Settings(**loop),
        seed=snakemake.params.seed,
        checkpoints=Path(snakemake.params.checkpoints),
        fingerprint=training.fingerprint(
            [snakemake.params.imagery, channels, snakemake.params.harmonics, snakemake.params.seed],
            [facts["inputs"]],
            snakemake.params.code,
        ),
        device=taken,
        attributes=facts,
    )
