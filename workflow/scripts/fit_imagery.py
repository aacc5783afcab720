"""Train the imagery operator."""

from datetime import datetime
from functools import partial
from pathlib import Path

from slams import ranks, training
from slams.netcdf import load_dataset
from slams.observation.imagery import read
from slams.observation.imagery_fit import train_imagery
from slams.provenance import attributes
from slams.store import Store
from slams.trainer import Trainer


def train(task, device):
    settings = dict(task.params.imagery)
    loop = settings.pop("training")
    channels = list(task.params.channels)
    periods = {
        split: tuple(map(datetime.fromisoformat, period))
        for split, period in task.params.periods.items()
    }
    images = [*task.input.train_images, *task.input.validation_images]
    inputs = [task.input.train, task.input.validation, *images]
    facts = attributes(task.config, task.params.seed, inputs)
    train_imagery(
        Store(task.input.train),
        Store(task.input.validation),
        Path(task.output.model),
        statistics=load_dataset(task.input.statistics),
        channels=channels,
        pieces=partial(read, task.input.train_images, channels, periods["train"]),
        checks=partial(read, task.input.validation_images, channels, periods["validation"]),
        architecture=settings,
        harmonics=task.params.harmonics,
        settings=training.Settings(**loop),
        seed=task.params.seed,
        checkpoints=Path(task.params.checkpoints),
        fingerprint=training.fingerprint(
            [task.params.imagery, channels, task.params.harmonics, task.params.seed],
            [facts["inputs"]],
            task.params.code,
        ),
        device=device,
        attributes=facts,
        trainer=Trainer.of(task.config),
    )


ranks.run(snakemake, train)
