"""Samples a second of a training, ours and the paper's way, with the same network.

    python benchmarks/training.py [--size small] [--rounds 5]

The network predicts the noise of windows of latents, and takes steps of AdamW on random fields of
ten levels. The paper's way opens one Zarr a day for every sample, encodes its fields anew, and
has autograd's anomaly detection on; ours is slams.training on a store of latents. In between
stands what each of these costs. A round takes steps in every way, one after the other; the table
shows the median, least and largest rate over the rounds and the median of the rounds' ratios to
the paper's.

On a GPU, `--device cuda --precision bf16-mixed --size paper --batch 64 --peak 989` also prints the
time of a step, its share of the device's peak (of so many TFLOP/s) and the memory taken.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from store import WINDOW, window_of_days, write_days, write_store
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from slams.autoencoder import encode_store
from slams.draws import Draws
from slams.paper.autoencoder import PaperAutoencoder
from slams.paper.denoiser import EpsDenoiser, eps_loss
from slams.store import Store
from slams.training import Settings, batch_indices, train

LEVELS, SEED = 10, 20261127
# Rows and columns of the grid, channels at each resolution, residual blocks.
SIZES = {
    "small": (32, 64, (32, 64), 1),
    "paper": (120, 240, (32, 64, 128), 3),
}


@dataclass
class World:
    """Random fields in every form, their encoder and the networks that learn from them.

    ``days`` are the Zarrs of the paper's way, none where it is not taken.
    """

    count: int
    days: list[Path]
    fields: Store
    latents: Store
    encoder: PaperAutoencoder
    network: Callable[[], EpsDenoiser]
    batch: int
    device: torch.device

    def season(self, indices: np.ndarray) -> Tensor:
        """A number for every window that the network takes for the season."""
        return torch.from_numpy(indices).float() / self.count


def build(
    folder: Path, size: str, days: int, batch: int, device: torch.device, zarr: bool
) -> World:
    """Write the files, with ``zarr`` those of the paper's way, too."""
    rows, columns, width, blocks = SIZES[size]
    rng = np.random.default_rng(SEED)
    fields = rng.standard_normal((days, LEVELS, rows, columns), dtype=np.float32)
    times = np.datetime64("2001-01-01", "ns") + np.arange(days) * np.timedelta64(1, "D")
    torch.manual_seed(SEED)
    encoder = PaperAutoencoder(LEVELS, rows, columns).eval()
    store = write_store(folder / "train.nc", fields, times)
    encode_store(encoder, store, folder / "latents.nc", {})
    latents = Store(folder / "latents.nc")

    def network() -> EpsDenoiser:
        torch.manual_seed(SEED)
        return EpsDenoiser(WINDOW, *latents.shape, width=width, blocks=blocks).to(device)

    paths = write_days(folder, fields, times, 2) if zarr else []
    return World(days, paths, store, latents, encoder.to(device), network, batch, device)


def plain(
    world: World, steps: int, *, zarr: bool = True, encode: bool = True, anomaly: bool = True
) -> float:
    """Samples a second of the paper's loop, or of one without some of its ways."""
    model = world.network().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4, weight_decay=1e-3)
    windows = world.count - WINDOW + 1
    began = 0.0
    with torch.autograd.set_detect_anomaly(anomaly):
        for step in range(steps + 1):
            if step == 1:
                began = time.perf_counter()  # the first step is for warmth
            indices = batch_indices(windows, world.batch, step, SEED)
            if zarr:
                x = np.stack([window_of_days(world.days, int(start)) for start in indices])
            else:
                x = (world.fields if encode else world.latents).batch(indices, WINDOW)
            z = torch.from_numpy(x).to(world.device)
            if encode:
                with torch.no_grad():
                    z = world.encoder.encode(z)
            season = world.season(indices).to(world.device)
            loss = eps_loss(model, z, season, Draws(world.batch, SEED, step))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
    return steps * world.batch / (time.perf_counter() - began)


def ours(world: World, steps: int, precision: str = "32-true") -> dict[str, Any]:
    """The card of a training of so many steps."""

    def read(indices: np.ndarray) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(world.latents.batch(indices, WINDOW)), world.season(indices)

    settings = Settings(
        steps=steps,
        batch=world.batch,
        learning_rate=2e-4,
        validate_every=steps,
        checkpoint_every=steps,
        precision=precision,
    )
    with tempfile.TemporaryDirectory() as folder:
        _, _, card = train(
            world.network().train(),
            read,
            lambda net, data, draws: eps_loss(net, *data, draws),
            lambda net: 0.0,
            samples=world.count - WINDOW + 1,
            settings=settings,
            seed=SEED,
            folder=Path(folder),
            fingerprint="",
            device=world.device,
        )
    return card


def work(world: World) -> float:
    """Floating-point operations of a step: forwards and backwards, as torch counts them."""
    model = world.network().train()
    indices = np.arange(world.batch) % (world.count - WINDOW + 1)
    z = torch.from_numpy(world.latents.batch(indices, WINDOW)).to(world.device)
    with FlopCounterMode(display=False) as counted:
        season = world.season(indices).to(world.device)
        eps_loss(model, z, season, Draws(world.batch, SEED)).backward()
    return float(counted.get_total_flops())


def compare(world: World, rounds: int, steps: int, precision: str) -> None:
    """Print the table of rates, and what ours waits for data."""
    ways: dict[str, Callable[[], float]] = {
        "the paper's": lambda: plain(world, steps),
        "without anomaly detection": lambda: plain(world, steps, anomaly=False),
        "and fields from the store": lambda: plain(world, steps, anomaly=False, zarr=False),
        "and latents encoded once": lambda: plain(
            world, steps, anomaly=False, zarr=False, encode=False
        ),
    }
    waiting: list[float] = []
    chosen = {"SLAMS": "32-true", f"SLAMS, {precision}": precision}

    def training(precision: str) -> float:
        card = ours(world, 3 * steps, precision)
        waiting.append(card["waiting_for_data"])
        return card["samples_per_second"]

    rates: dict[str, list[float]] = {way: [] for way in [*ways, *chosen]}
    for _ in range(rounds):
        for way, run in ways.items():
            rates[way].append(run())
        for way, arithmetic in chosen.items():
            rates[way].append(training(arithmetic))
    print("| way | samples a second: median | least | largest | over the paper's |")
    print("|---|---|---|---|---|")
    base = np.array(rates["the paper's"])
    for way, found in rates.items():
        ratio = np.median(np.array(found) / base)
        print(
            f"| {way} | {np.median(found):.2f} | {min(found):.2f} | {max(found):.2f} "
            f"| {ratio:.1f} |"
        )
    print(f"waiting for data: {np.median(waiting):.1%} of a step, at most {max(waiting):.1%}")


def device_figures(world: World, steps: int, precision: str, peak: float) -> None:
    """Print time, work and memory of a step of ours."""
    if world.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    ours(world, 5, precision)  # for warmth
    card = ours(world, steps, precision)
    seconds = world.batch / card["samples_per_second"]
    rate = work(world) / seconds / 1e12
    found = {"ms_a_step": 1e3 * seconds, "TFLOP_a_second": rate, "device": card["device"]}
    if peak:
        found["share_of_peak"] = rate / peak
    if world.device.type == "cuda":
        found["memory_GiB"] = torch.cuda.max_memory_allocated() / 2**30
    print(json.dumps(found | {"waiting_for_data": card["waiting_for_data"]}))


def main() -> None:
    """Print the table, or a device's figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="of the paper's loop in a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="bf16-mixed")
    parser.add_argument("--peak", type=float, default=0.0, help="of the device, TFLOP/s")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        device = torch.device(options.device)
        figures = options.device == "cuda" or options.peak > 0
        world = build(
            Path(name), options.size, options.days, options.batch, device, zarr=not figures
        )
        if figures:
            device_figures(world, 10 * options.steps, options.precision, options.peak)
        else:
            compare(world, options.rounds, options.steps, options.precision)


if __name__ == "__main__":
    main()
