"""The training of the paper's autoencoder, from the store to a file: what its rule calls."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from slams.draws import Draws
from slams.paper.autoencoder import PaperAutoencoder
from slams.paper.inputs import EncoderInputs
from slams.recipes import averaged, rolled, spread_out, write_autoencoder
from slams.store import Store
from slams.training import Settings, train


def train_paper_autoencoder(
    training: Store,
    validation: Store,
    target: Path,
    *,
    inputs: tuple[EncoderInputs, EncoderInputs] | None = None,
    settings: Settings,
    seed: int,
    checkpoints: Path,
    fingerprint: str,
    device: torch.device,
    attributes: Mapping[str, str],
) -> None:
    """Train the paper's autoencoder on the fields of ``training`` and write it to ``target``.

    ``inputs`` are what the encoder takes beside them, of the training and of the validation
    period. The loss is the plain mean square error of the temperature: every cell weighs the same,
    whatever its area. Raises SlamsError where no input coincides in time with a field.
    """
    torch.manual_seed(seed)
    levels = training.shape[0]
    of_training, of_validation = inputs or (None, None)
    model = PaperAutoencoder(*training.shape, inputs=of_training.channels if of_training else ())
    if of_training and of_validation:
        of_training.check(training.times, "train")
        of_validation.check(validation.times, "validation")
        model.normalise_inputs(*of_training.moments())

    def read_fields(store: Store, given: EncoderInputs | None, chosen: np.ndarray) -> Tensor:
        """Fields, and what the encoder takes beside them, as further channels."""
        x = store.batch(chosen, 1)[:, 0]
        if given is not None:
            x = np.concatenate([x, given.at(store.times[chosen])], axis=1)
        return torch.from_numpy(x)

    def error(net: nn.Module, seen: Tensor) -> Tensor:
        x, beside = seen[:, :levels], seen[:, levels:]
        return F.mse_loss(net(x, beside if beside.shape[1] else None), x)

    def read(indices: np.ndarray) -> Tensor:
        return read_fields(training, of_training, indices)

    def loss(net: nn.Module, seen: Tensor, draws: Draws) -> Tensor:
        if settings.roll_longitude:
            seen = rolled(seen, draws)
        return error(net, seen)

    chosen = spread_out(np.arange(len(validation.fields)))

    def check(net: nn.Module) -> float:
        def measure(part: np.ndarray, _: int) -> float:
            return float(error(net, read_fields(validation, of_validation, part).to(device)))

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
    encode = of_validation.encoder(model.cpu()) if of_validation else None
    write_autoencoder(target, model.cpu(), validation, curve, card, attributes, encode)
