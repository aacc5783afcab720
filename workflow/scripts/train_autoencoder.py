"""Train the autoencoder."""

from pathlib import Path

from slams import ranks, training
from slams.provenance import attributes
from slams.recipes import train_autoencoder
from slams.store import Store
from slams.trainer import Trainer


def train(task, device):
    settings = dict(task.params.autoencoder)
    loop = settings.pop("training")
    noise = settings.pop("latent_noise")
    inputs = [task.input.train, task.input.validation]
    facts = attributes(task.config, task.params.seed, inputs)
    train_autoencoder(
        Store(task.input.train),
        Store(task.input.validation),
        Path(task.output.model),
        architecture=settings,
        latent_noise=noise,
        settings=training.Settings(**loop),
        seed=task.params.seed,
        checkpoints=Path(task.params.checkpoints),
        fingerprint=training.fingerprint(
            [task.params.autoencoder, task.params.seed],
            [facts["inputs"]],
            task.params.code,
        ),
        device=device,
        attributes=facts,
        trainer=Trainer.of(task.config),
    )


ranks.run(snakemake, train)
