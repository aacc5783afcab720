"""How a training runs: devices, precision, compilation, TensorBoard."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import TensorBoardLogger
from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy

from slams import world
from slams.errors import SlamsError


@dataclass(frozen=True)
class Trainer:
    """How a training runs, which changes no result but for rounding: some keys of ``trainer``."""

    compile: bool = False
    tensorboard: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Trainer":
        """What a configuration says."""
        return cls(config["trainer"]["compile"], config["trainer"]["tensorboard"])


PLAIN = Trainer()


def fabric(trainer: Trainer, device: torch.device, precision: str, folder: Path) -> Fabric:
    """What Lightning Fabric does for us: precision, clipping, several devices, TensorBoard."""
    common: dict[str, Any] = {"accelerator": device.type, "precision": precision}
    common["loggers"] = _loggers(trainer, folder)
    if world.size() == 1:
        devices = 1 if device.index is None else [device.index]
        # Said outright: in a cluster's job it would take the job's tasks for processes of ours.
        alone: list[Any] = [LightningEnvironment()]
        return Fabric(devices=devices, plugins=alone, **common)
    # Buffers are everywhere the same: none changes in training.
    together = DDPStrategy(
        cluster_environment=TorchElasticEnvironment(), forward_sync_buffers=False
    )
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    joined = Fabric(devices=local, num_nodes=world.size() // local, strategy=together, **common)
    joined.launch()
    return joined


def named(device: torch.device) -> str:
    """A device's kind and name."""
    if device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name(device)}"
    name = torch.backends.cpu.get_cpu_capability()
    return f"cpu, {platform.machine()} {name}, {torch.get_num_threads()} threads"


def _loggers(trainer: Trainer, folder: Path) -> list[Any]:
    """TensorBoard's events beside the checkpoints, where they are asked for."""
    if not trainer.tensorboard or world.rank():
        return []
    try:
        return [TensorBoardLogger(folder, name="tensorboard", version="")]
    except ModuleNotFoundError as error:
        raise SlamsError(
            "trainer.tensorboard is true, but TensorBoard is not installed: pip install "
            "tensorboard, or set it to false"
        ) from error
