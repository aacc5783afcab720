"""Train the autoencoder."""

from pathlib import Path

from slams import device, training
from slams.job import job
from slams.provenance import attributes
from slams.recipes import train_autoencoder
from slams.store import Store

with job(snakemake.log[0], snakemake.threads), device.claim(snakemake.params.device) as taken:
    settings = dict(snakemake.params.autoencoder)
    loop = settings.pop("training")
    noise = settings.pop("latent_noise")
    inputs = [snakemake.input.train, snakemake.input.validation]
    facts = attributes(snakemake.config, snakemake.params.seed, inputs)
    train_autoencoder(
        Store(snakemake.input.train),
        Store(snakemake.input.validation),
        Path(snakemake.output.model),
        architecture=settings,
        latent_noise=noise,
        settings=training.Settings(**loop),
        seed=snakemake.params.seed,
        checkpoints=Path(snakemake.params.checkpoints),
        fingerprint=training.fingerprint(
            [snakemake.params.autoencoder, snakemake.params.seed],
            [facts["inputs"]],
            snakemake.params.code,
        ),
        device=taken,
        attributes=facts,
    )
