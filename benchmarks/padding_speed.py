"""The sphere's padding with its own adjoint, beside the same put together of slices.

    export MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=2147483647
    python benchmarks/padding_speed.py

prints milliseconds, medians of alternate repetitions on one core, and their ratio: of the padding
and its derivative, of a training step of a prior's U-Net, and of what guidance asks of a decoder,
its derivative both ways. The variables are those that the workflow sets: freed memory is kept.
"""

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from slams import nets
from slams.autoencoder import Autoencoder

REPETITIONS = 15
CELLS = (24, 48)


def of_slices(x: Tensor, width: int) -> Tensor:
    """As `pad_sphere`, left to automatic differentiation."""
    half = x.shape[-1] // 2
    north = x[..., :width, :].flip(-2).roll(half, -1)
    south = x[..., -width:, :].flip(-2).roll(half, -1)
    x = torch.cat([north, x, south], dim=-2)
    return torch.cat([x[..., -width:], x, x[..., :width]], dim=-1)


def padding() -> Callable[[], None]:
    """A layer of 64 channels, 64 fields, and back."""
    x = torch.randn(64, 64, *CELLS, requires_grad=True)
    given = torch.randn(64, 64, CELLS[0] + 2, CELLS[1] + 2)

    def run() -> None:
        torch.autograd.grad(nets.pad_sphere(x, 1), x, given)

    return run


def training() -> Callable[[], None]:
    """A step without the optimiser, of config/nature.yaml's pixel prior."""
    net = nets.UNet(84, 40, [32, 64, 128])
    x, scalar = torch.randn(16, 84, *CELLS), torch.rand(16)

    def run() -> None:
        net.zero_grad()
        net(x, scalar).square().mean().backward()

    return run


def guiding() -> Callable[[], None]:
    """The derivative of its decoder, eight members of five steps: five times both ways."""
    model = Autoencoder(8, *CELLS, latent_channels=16, width=48, depth=0).requires_grad_(False)
    latents = torch.randn(40, 16, CELLS[0] // 2, CELLS[1] // 2, requires_grad=True)

    def run() -> None:
        fields = model.decode(latents)
        blank = torch.zeros_like(fields, requires_grad=True)
        (pulled,) = torch.autograd.grad(fields, latents, blank, create_graph=True)
        for _ in range(5):
            (v,) = torch.autograd.grad(fields, latents, torch.ones_like(fields), retain_graph=True)
            torch.autograd.grad(pulled, blank, v, retain_graph=True)

    return run


def main() -> None:
    """Measure, print."""
    torch.set_num_threads(1)
    ours = nets.pad_sphere
    print(f"{'':12}{'slices':>10}{'adjoint':>10}{'ratio':>8}")
    for name, make in {"padding": padding, "training": training, "guiding": guiding}.items():
        run = make()
        taken: dict[Callable[[Tensor, int], Tensor], list[float]] = {of_slices: [], ours: []}
        for _ in range(REPETITIONS):
            for nets.pad_sphere, times in taken.items():
                begin = time.perf_counter()
                run()
                times.append(1e3 * (time.perf_counter() - begin))
        before, after = (median(times) for times in taken.values())
        print(f"{name:12}{before:10.1f}{after:10.1f}{before / after:8.2f}", flush=True)


if __name__ == "__main__":
    main()
