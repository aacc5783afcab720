"""The training of the paper's autoencoder, from the store to a file: what its rule calls."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slams.draws import Draws
from slams.paper.autoencoder import PaperAutoencoder
from slams.recipes import averaged, rolled, spread_out, write_autoencoder
from slams.store import Store
from slams.training import Settings, train


def train_paper_autoencoder(
    training: Store,
    validation: Store,
    target: Path,
    *,
    settings: Settings,
    seed: int,
    checkpoints: Path,
    fingerprint: str,
    device: torch.device,
    attributes: Mapping[str, str],
) -> None:
    """Train the paper's autoencoder on the fields of ``training`` and write it to ``target``.

    The loss is the plain mean square error: every cell weighs the same, whatever its area.
    """
    torch.manual_seed(seed)
    model = PaperAutoencoder(*training.shape)

    def read(indices: np.ndarray) -> Tensor:
        return torch.from_numpy(training.batch(indices, 1)[:, 0])

    def loss(net: nn.Module, x: Tensor, draws: Draws) -> Tensor:
        if settings.roll_longitude:
            x = rolled(x, draws)
        return F.mse_loss(net(x), x)

    chosen = spread_out(np.arange(len(validation.fields)))

    def check(net: nn.Module) -> float:
        def measure(part: np.ndarray, _: int) -> float:
            x = torch.from_numpy(validation.batch(part, 1)[:, 0]).to(device)
            return float(F.mse_loss(net(x), x))

        return averaged(chosen, measure)

    _, curve, card = train(
        model,
        read,
        loss,
        check,
        samples=len(training.fields),
        settings=settings,
        seed=seed,
        folder=checkpoints,
        fingerprint=fingerprint,
        device=device,
    )
    write_autoencoder(target, model.cpu(), validation, curve, card, attributes)
