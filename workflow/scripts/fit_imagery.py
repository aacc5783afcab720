"""Train the imagery operator."""

from datetime import datetime
from pathlib import Path

import xarray as xr

from slams import device, training
from slams.job import job
from slams.observation.imagery_fit import train_imagery
from slams.provenance import attributes
from slams.store import Store, read_images

with job(snakemake.log[0], snakemake.threads), device.claim(snakemake.params.device) as taken:
    settings = dict(snakemake.params.imagery)
    loop = settings.pop("training")
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
        pieces=list(read_images(snakemake.input.train_images, periods["train"])),
        checks=list(read_images(snakemake.input.validation_images, periods["validation"])),
        architecture=settings,
        harmonics=snakemake.params.harmonics,
        settings=training.Settings(**loop),
        seed=snakemake.params.seed,
        checkpoints=Path(snakemake.params.checkpoints),
        fingerprint=training.fingerprint(
            [snakemake.params.imagery, snakemake.params.harmonics, snakemake.params.seed],
            [facts["inputs"]],
            snakemake.params.code,
        ),
        device=taken,
        attributes=facts,
    )
