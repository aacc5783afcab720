"""Train a prior, over fields or latents."""

from pathlib import Path

from slams import ranks, training
from slams.netcdf import load_dataset
from slams.paper.autoencoder import load_autoencoder
from slams.provenance import attributes
from slams.recipes import train_prior
from slams.store import Store
from slams.trainer import Trainer


def train(task, device):
    settings = dict(task.params.prior)
    loop = settings.pop("training")
    parameterisation = settings.pop("parameterisation")
    latent = hasattr(task.input, "autoencoder")
    inputs = [task.input.train_description, task.input.validation_description]
    facts = attributes(task.config, task.params.seed, inputs)
    train_prior(
        Store(task.input.train_description),
        Store(task.input.validation_description),
        Path(task.output.model),
        statistics=load_dataset(task.input.statistics),
        autoencoder=load_autoencoder(task.input.autoencoder) if latent else None,
        window=task.params.window,
        step_hours=task.params.step_hours,
        parameterisation=parameterisation,
        architecture=settings,
        settings=training.Settings(**loop),
        seed=task.params.seed,
        checkpoints=Path(task.params.checkpoints),
        fingerprint=training.fingerprint(
            [task.params.prior, task.params.window, task.params.seed],
            [facts["inputs"]],
            task.params.code,
        ),
        device=device,
        attributes=facts,
        trainer=Trainer.of(task.config),
    )


ranks.run(snakemake, train)
