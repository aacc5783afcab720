"""The sampler's benchmark: what it counts, and that it tells good from bad."""

import gaussian
import numpy as np
import pandas as pd
import pytest
import sampler
import scaling
import torch
from sampler_figure import convergence
from walks import WALKS

from slams.figures import save


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """The comparison on the ring with 4 and 8 levels."""
    return sampler.compare(("ring",), (4, 8))


def test_every_method_is_compared_on_the_same_problems(rows):
    assert set(rows["steps"]) == {4, 8}
    counts = rows[rows["observations"] != "nothing"].groupby(["guidance", "sampler"]).size()
    assert set(counts) == {2 * (len(gaussian.SETS) - 1)}
    assert {walk for _, walk in counts.index} == {sampler.OURS, *WALKS}
    assert not rows.duplicated(["observations", "guidance", "sampler", "steps"]).any()


def test_calls_of_the_network_are_counted(rows):
    some = rows[(rows["observations"] == "few precise") & (rows["steps"] == 8)]
    some = some.set_index(["guidance", "sampler"])[["passes", "products"]]
    # Three iterations a level, and from the second on one for the start.
    assert tuple(some.loc[sampler.DEFAULT, sampler.OURS]) == (8, 3 * 8 + 7)
    assert tuple(some.loc[sampler.DEFAULT, "Heun"]) == (15, 3 * 15 + 14)
    assert tuple(some.loc["MMPS, BiCGSTAB", sampler.OURS]) == (8, 2 * 2 * 8 + 7)
    assert tuple(some.loc["SDA", sampler.OURS]) == (8, 8)
    assert tuple(some.loc[sampler.DPS, "DDPM"]) == (8, 8)


def test_the_default_is_ahead_of_the_other_methods(rows):
    few = rows[rows["steps"] == 8]
    ratio = (few["distance"] / few["floor"]).groupby([few["guidance"], few["sampler"]]).mean()
    best = {name for name in sampler.GUIDANCE if name.startswith("MMPS")}
    assert set(ratio.nsmallest(3).index) == {(name, sampler.OURS) for name in best}


@pytest.mark.parametrize("walk", list(WALKS))
def test_other_walks_converge_to_the_prior(walk):
    """With the world's own denoiser and many levels, so that what they lose is not a defect."""
    world = gaussian.Ring(16, 2.0)
    given = gaussian.problem(world, "nothing")
    generator = torch.Generator().manual_seed(0)
    levels = torch.logspace(np.log10(40.0), -2, 300)

    def noise() -> torch.Tensor:
        return torch.randn(2000, *world.state_shape, generator=generator)

    def guided(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return world.denoise(x, sigma, world.times)

    states = WALKS[walk](guided, levels[0] * noise(), levels, noise).flatten(1).double()
    assert given.distance(states) < 1.5 * given.floor(2000)
    assert 0.97 < given.spread(states) < 1.02


def test_a_method_that_diverged_leaves_its_points_out(rows, tmp_path):
    broken = rows.copy()
    broken.loc[broken["guidance"] == "SDA", ["distance", "passes"]] = np.nan
    for table in (rows, broken):
        for path in save(convergence(table), tmp_path / "convergence"):
            assert path.stat().st_size > 10_000


def test_scaling_does_the_work_of_every_rule(tmp_path):
    for rule in scaling.RULES:
        scaling.measured(rule, 60, 22.5, tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {
        *("era5.nc", "statistics.nc", "train.nc", "train.npy", "latents.nc", "latents.npy")
    }
    found = scaling.in_a_process("nothing")
    assert found["memory"] > 10 and found["seconds"] > 0
