"""Train a prior, over fields or latents."""

from pathlib import Path

import xarray as xr

from slams import device, training
from slams.job import job
from slams.paper.autoencoder import load_autoencoder
from slams.provenance import attributes
from slams.recipes import train_prior
from slams.store import Store

with job(snakemake.log[0], snakemake.threads), device.claim(snakemake.params.device) as taken:
    settings = dict(snakemake.params.prior)
    loop = settings.pop("training")
    parameterisation = settings.pop("parameterisation")
    latent = hasattr(snakemake.input, "autoencoder")
    inputs = [snakemake.input.train_description, snakemake.input.validation_description]
    facts = attributes(snakemake.config, snakemake.params.seed, inputs)
    train_prior(
        Store(snakemake.input.train_description),
        Store(snakemake.input.validation_description),
        Path(snakemake.output.model),
        statistics=xr.load_dataset(snakemake.input.statistics),
        autoencoder=load_autoencoder(snakemake.input.autoencoder) if latent else None,
        window=snakemake.params.window,
        step_hours=snakemake.params.step_hours,
        parameterisation=parameterisation,
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
