"""Guidance methods and samplers against posteriors known in closed form.

`snakemake benchmark_sampler` runs it. Distances are Gaussian 2-Wasserstein distances of 512
samples to the exact posterior over its standard deviation; the floor is that of exact draws.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gaussian
import numpy as np
import pandas as pd
import torch
from gaussian import GaussianWorld, Problem, problem
from others import METHODS, guidance_of
from torch import Tensor
from tqdm import tqdm
from walks import WALKS

from slams.composition import Composed
from slams.errors import SlamsError
from slams.posterior import Guidance, dps, guidance, noise_levels, sample_states

log = logging.getLogger("slams.benchmarks")

MEMBERS, LOW, HIGH = 512, 0.02, 40.0
STEPS = (4, 8, 16, 32)
OURS, DEFAULT = "SDE-DPM-Solver++(2M)", "MMPS, conjugate gradients"
GUIDANCE = {
    DEFAULT: lambda levels: guidance("mmps"),
    "MMPS, GMRES": lambda levels: guidance("mmps", solver="gmres"),
    # An iteration of it is two products.
    "MMPS, BiCGSTAB": lambda levels: guidance("mmps", 2, solver="bicgstab"),
    "SDA": lambda levels: guidance("sda"),
}
DPS = "DPS, best strength"
STRENGTHS = (0.1, 0.3, 1.0, 3.0)  # zeta of DPS, of which the best is taken problem by problem
# Each world with the sets on which all methods are compared; the default is run on all of them.
COMPARED = {
    "ring": tuple(name for name in gaussian.SETS if name != "nothing"),
    "trajectory": tuple(name for name in gaussian.SETS if name != "nothing"),
    "sphere": ("few precise", "mixed errors"),
}
WORLDS = {"ring": gaussian.Ring, "trajectory": gaussian.trajectory, "sphere": gaussian.sphere}


@dataclass
class Tally:
    """Calls of the network: forward passes, and vector-Jacobian products."""

    passes: int = 0
    products: int = 0


class _Counted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, tally: Tally) -> Tensor:
        ctx.tally = tally
        tally.passes += 1
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        ctx.tally.products += 1
        return gradients[0], None


class CountedWorld:
    """A world that counts the calls of its denoiser."""

    def __init__(self, world: GaussianWorld, tally: Tally) -> None:
        self.world, self.tally, self.state_shape = world, tally, world.state_shape

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        """The world's own, counted."""
        return _Counted.apply(self.world.denoise(x, sigma, times), self.tally)

    def decode(self, x: Tensor) -> Tensor:
        """The states are the fields."""
        return x


def run(given: Problem, guide: Guidance, walk: str, levels: Tensor) -> tuple[Tensor, Tally, float]:
    """Samples (512, size), the calls they took, and seconds."""
    tally, generator = Tally(), torch.Generator().manual_seed(0)
    world = CountedWorld(given.world, tally)
    times, begin = given.world.times, time.perf_counter()
    if walk == OURS:
        states = sample_states(
            world,
            given.observations,
            MEMBERS,
            guide=guide,
            levels=levels,
            generator=generator,
            times=times,
        )
    else:
        start = None

        def guided(x: Tensor, sigma: Tensor) -> Tensor:
            nonlocal start
            clean, start = guide(world, given.observations, x, sigma, start)
            return clean

        def noise() -> Tensor:
            return torch.randn((MEMBERS, *world.state_shape), generator=generator)

        states = WALKS[walk](guided, levels[0] * noise(), levels, noise)
    return states.flatten(1).double(), tally, time.perf_counter() - begin


def _row(given: Problem, floor: float, guide: Guidance, walk: str, steps: int) -> dict[str, Any]:
    levels, row = noise_levels(steps, LOW, HIGH), {"steps": steps, "floor": floor}
    try:
        samples, tally, seconds = run(given, guide, walk, levels)
    except SlamsError as error:
        # A method that diverges is a result: its row says so by what is missing.
        log.info("%s: %s", walk, error)
        return row
    if not torch.isfinite(samples).all():
        return row
    calls = {"passes": tally.passes, "products": tally.products, "seconds": seconds}
    return row | calls | _scores(given, samples)


def _methods(steps: int) -> Iterator[tuple[str, list[Guidance], str]]:
    """Guidance's name, its variants and the sampler of every combination that is compared."""
    levels = noise_levels(steps, LOW, HIGH)
    for name, make in GUIDANCE.items():
        yield name, [make(levels)], OURS
    # DPS is defined by what it does to an ancestral step.
    ratio = float((levels[1] / levels[0]) ** 2)
    yield DPS, [partial(dps, ratio=ratio, zeta=zeta) for zeta in STRENGTHS], "DDPM"
    for name in METHODS:
        if name != "MMPS of azula":
            yield name, [guidance_of(name)], OURS
    for walk in WALKS:
        yield DEFAULT, [guidance("mmps")], walk


def compare(
    worlds: tuple[str, ...] = tuple(WORLDS), steps: tuple[int, ...] = STEPS
) -> pd.DataFrame:
    """One row a world, set of observations, guidance, sampler and number of levels.

    Columns: world, observations, guidance, sampler, steps (noise levels), passes (of the
    network), products (vector-Jacobian ones), distance, floor, bias, spread, seconds; missing
    where a method diverged.
    """
    if not METHODS:
        log.warning("azula is not installed: its methods are left out (make env installs it)")
    rows = []
    for name in worlds:
        world = WORLDS[name]()
        for seen in tqdm(gaussian.SETS, desc=name, mininterval=10):
            given = problem(world, seen)
            floor = given.floor(MEMBERS)
            for count in steps:
                for label, guides, walk in _methods(count):
                    default = label == DEFAULT and walk == OURS
                    if seen in COMPARED[name] or (default and count > 4):
                        found = [_row(given, floor, guide, walk, count) for guide in guides]
                        row = min(found, key=lambda row: row.get("distance", np.inf))
                        key = {"world": name, "observations": seen}
                        rows.append(key | {"guidance": label, "sampler": walk} | row)
    return pd.DataFrame(rows)


def compose(memories: tuple[float, ...] = (0.5, 0.8, 0.95), steps: int = 32) -> pd.DataFrame:
    """Five steps from windows of three, by the correlation of two steps.

    Columns: memory, observations, how (whole: the denoiser of all five steps; base: windows that
    hand out their covariance; windows: nothing but their denoiser), distance, floor, bias, spread.
    """
    levels, rows = noise_levels(steps, LOW, HIGH), []
    for memory in memories:
        whole, short = (gaussian.trajectory(count, memory=memory) for count in (5, 3))
        spaces = {
            "whole": whole,
            "base": Composed(gaussian.Founded(short), 5, chunk=MEMBERS),
            "windows": Composed(short, 5, chunk=MEMBERS),
        }
        for seen in gaussian.SETS:
            given = problem(whole, seen)
            floor = given.floor(MEMBERS)
            for how, space in spaces.items():
                states = sample_states(
                    space,
                    given.observations,
                    MEMBERS,
                    guide=guidance("mmps"),
                    levels=levels,
                    generator=torch.Generator().manual_seed(0),
                    times=whole.times,
                )
                key = {"memory": memory, "observations": seen, "how": how, "floor": floor}
                rows.append(key | _scores(given, states.flatten(1).double()))
    return pd.DataFrame(rows)


def _scores(given: Problem, samples: Tensor) -> dict[str, float]:
    """How far samples (512, size) are from the exact posterior."""
    return {
        "distance": given.distance(samples),
        "bias": given.bias(samples),
        "spread": given.spread(samples),
    }
