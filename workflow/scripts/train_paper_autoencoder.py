"""Train the paper's autoencoder."""

from datetime import datetime
from pathlib import Path

from slams import device, training
from slams.job import job
from slams.paper.inputs import read_inputs
from slams.paper.recipes import train_paper_autoencoder
from slams.provenance import attributes
from slams.store import Store

with job(snakemake.log[0], snakemake.threads), device.claim(snakemake.params.device) as taken:
    given, channels = snakemake.input, snakemake.params.channels
    images = {"train": given.train_images, "validation": given.validation_images}
    inputs = [given.train, given.validation, *images["train"], *images["validation"]]
    facts = attributes(snakemake.config, snakemake.params.seed, inputs)
    beside = []
    for split, files in images.items():
        if channels:
            period = map(datetime.fromisoformat, snakemake.params.periods[split])
            beside.append(read_inputs(files, channels, tuple(period)))
    train_paper_autoencoder(
        Store(given.train),
        Store(given.validation),
        Path(snakemake.output.model),
        inputs=tuple(beside) or None,
        settings=training.Settings(**snakemake.params.training),
        seed=snakemake.params.seed,
        checkpoints=Path(snakemake.params.checkpoints),
        fingerprint=training.fingerprint(
            [snakemake.params.training, channels, snakemake.params.seed],
            [facts["inputs"]],
            snakemake.params.code,
        ),
        device=taken,
        attributes=facts,
    )
