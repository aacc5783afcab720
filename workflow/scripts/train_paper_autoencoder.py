"""Train the paper's autoencoder."""

from pathlib import Path

from slams import device, training
from slams.job import job
from slams.paper.recipes import train_paper_autoencoder
from slams.provenance import attributes
from slams.store import Store

with job(snakemake.log[0], snakemake.threads), device.claim(snakemake.params.device) as taken:
    inputs = [snakemake.input.train, snakemake.input.validation]
    facts = attributes(snakemake.config, snakemake.params.seed, inputs)
    train_paper_autoencoder(
        Store(snakemake.input.train),
        Store(snakemake.input.validation),
        Path(snakemake.output.model),
        settings=training.Settings(**snakemake.params.training),
        seed=snakemake.params.seed,
        checkpoints=Path(snakemake.params.checkpoints),
        fingerprint=training.fingerprint(
            [snakemake.params.training, snakemake.params.seed],
            [facts["inputs"]],
            snakemake.params.code,
        ),
        device=taken,
        attributes=facts,
    )
