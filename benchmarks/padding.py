"""Padding at the poles: reflected with the half-turn, replicated, or circular as the paper's.

    python benchmarks/padding.py results/nature --steps 1000

trains one small prior over single fields for each padding, from the same seed, on an experiment's
stores, and prints the denoising loss over the validation period near the poles (the outermost two
rows of either side, where a 3 x 3 kernel of the finest resolution meets the padding) and away from
them, from the same noise. With ``--modes 0`` the network is without its linear-Gaussian base.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from slams import nets
from slams.netcdf import load_dataset
from slams.prior import Prior
from slams.recipes import spread_out, train_prior
from slams.store import Store
from slams.training import Settings

ROWS = 2  # of either pole
SIGMAS = (0.1, 0.3, 1.0, 3.0)
SEED = 20261123


def around(x: Tensor, width: int) -> Tensor:
    """Circular in longitude."""
    return torch.cat([x[..., -width:], x, x[..., :width]], dim=-1) if width else x


def replicate(x: Tensor, width: int) -> Tensor:
    """The outermost row again beyond the pole."""
    return F.pad(around(x, width), (0, 0, width, width), mode="replicate") if width else x


def circular(x: Tensor, width: int) -> Tensor:
    """The south pole's rows beyond the north pole, and the reverse."""
    return around(torch.cat([x[..., -width:, :], x, x[..., :width, :]], -2), width) if width else x


def losses(prior: Prior, store: Store, chosen: list[int]) -> tuple[Tensor, Tensor]:
    """Weighted denoising loss by noise level, near the poles and away from them."""
    generator = torch.Generator().manual_seed(SEED)
    near, away = torch.zeros(len(SIGMAS)), torch.zeros(len(SIGMAS))
    for start in chosen:
        x = torch.from_numpy(store.window(start, 1))[None]
        for number, sigma in enumerate(SIGMAS):
            noisy = x + sigma * torch.randn(x.shape, generator=generator)
            clean = prior.denoise(noisy, torch.tensor(sigma), store.times[start : start + 1])
            error = (1 + sigma**2) / sigma**2 * (clean - x) ** 2
            poles = torch.cat([error[..., :ROWS, :], error[..., -ROWS:, :]], -2)
            near[number] += poles.mean() / len(chosen)
            away[number] += error[..., ROWS:-ROWS, :].mean() / len(chosen)
    return near, away


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of an experiment with its stores")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--modes", type=int, default=300)
    parser.add_argument("--width", type=int, nargs="+", default=[32, 64])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    training = Store(arguments.results / "store/train.nc")
    validation = Store(arguments.results / "store/validation.nc")
    settings = Settings(
        steps=arguments.steps,
        batch=16,
        learning_rate=1e-3,
        warmup_steps=100,
        ema_decay=0.995,
        validate_every=arguments.steps,
        checkpoint_every=arguments.steps,
        precision="32-true",
        roll_longitude=True,
    )
    paddings: dict[str, Callable[[Tensor, int], Tensor]] = {
        "reflected, half-turn": nets.pad_sphere,
        "replicated": replicate,
        "circular": circular,
    }
    print(f"{'padding':22}{'where':7}" + "".join(f"{f'sigma {s:g}':>11}" for s in SIGMAS))
    for name, padding in paddings.items():
        nets.pad_sphere = padding
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "prior.pt"
            train_prior(
                training,
                validation,
                target,
                statistics=load_dataset(arguments.results / "statistics.nc"),
                autoencoder=None,
                window=1,
                step_hours=24.0,
                architecture={"width": arguments.width, "blocks": 2, "modes": arguments.modes},
                settings=settings,
                seed=SEED,
                checkpoints=Path(folder) / "checkpoints",
                fingerprint=name,
                device=torch.device("cpu"),
                attributes={},
            )
            prior = Prior.load(target)
        chosen = spread_out(validation.starts(1, 24.0)).tolist()
        with torch.no_grad():
            found = losses(prior, validation, chosen)
        for where, values in zip(("poles", "else"), found, strict=True):
            print(f"{name:22}{where:7}" + "".join(f"{float(v):11.4f}" for v in values), flush=True)


if __name__ == "__main__":
    main()
