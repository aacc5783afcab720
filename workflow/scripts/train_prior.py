"""Train a prior, over fields or latents."""

from pathlib import Path

import xarray as xr

from slams import device, training
from slams.autoencoder import Autoencoder
from slams.job import job
from slams.provenance import attributes
from slams.recipes import train_prior
from slams.store import Store

with job(snakemake.log[0], snakemake.threads), device.claim(snakemake.params.device) as taken:
    settings = dict(snakemake.params.prior)
    loop = settings.pop("training")
    latent = snakemake.wildcards.space == "latent"
    inputs = [snakemake.input.train_description, snakemake.input.validation_description]
    facts = attributes(snakemake.config, snakemake.params.seed, inputs)
    train_prior(
        Store(snakemake.input.train_description),
        Store(snakemake.input.validation_description),
        Path(snakemake.output.model),
        statistics=xr.load_dataset(snakemake.input.statistics),
        autoencoder=Autoencoder.load(snakemake.input.autoencoder) if latent else None,
        window=snakemake.params.window,
        step_hours=snakemake.params.step_hours,
        architecture=settings,
        settings=training.Settings(**loop),
        seed=snakemake.params.seed,
        checkpoints=Path(snakemake.params.checkpoints),
        fingerprint=training.fingerprint(
            [snakemake.params.prior, snakemake.params.window, snakemake.params.seed],
            [facts["inputs"]],
            snakemake.params.code,
        ),
        device=taken,
        attributes=facts,
    )
