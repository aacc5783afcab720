"""The benchmarks: what they count, and that they tell good from bad."""

import gaussian
import numpy as np
import paired
import pandas as pd
import pytest
import sampler
import scaling
import scaling_ends
import torch
import training
import xarray as xr
from sampler_figure import convergence
from walks import WALKS
from worlds import GRID, LEVELS

from slams.errors import SlamsError
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


def test_arms_are_compared_at_equal_members(tmp_path):
    """With four of its eight members an arm is what it is with only those four."""
    rng = np.random.default_rng(0)
    truth = rng.normal(280, 1, (6, 1, 2, *GRID.shape))
    error = (
        rng.normal(0, 1, (2, 6, 8, 1, 2, *GRID.shape))
        * np.array([1.0, 0.5])[:, None, None, None, None, None, None]
    )
    whole = truth[:, None] + error
    cells = ("step", "level", "latitude", "longitude")
    time = np.datetime64("2003-04-01", "ns") + 9 * np.arange(6)[:, None] * np.timedelta64(1, "D")
    for name, values in (("one", whole[0][:, :4]), ("two", whole[1])):
        data = xr.Dataset(
            {"analysis": (("case", "member", *cells), values), "truth": (("case", *cells), truth)},
            {"time": (("case", "step"), time), "level": LEVELS[:2], **GRID.coordinates()},
            {"arm": name, "axis": "coarse", "axis_value": "4"},
        )
        for axis in ("coarse-4", *(["coarse-8"] if name == "two" else [])):
            folder = tmp_path / "cells" / name / axis
            folder.mkdir(parents=True)
            data.to_netcdf(folder / "analysis.nc")
    found = paired.compared(tmp_path, "one", "two", members=4, score="rmse")
    assert list(found["level"]) == ["500", "700", "all"] and set(found["axis_value"]) == {4.0}
    # The mean of four members of standard deviation 1 errs by 1/2, of 1/2 by 1/4.
    np.testing.assert_allclose(found["percent"], -50, atol=3)
    assert (found["upper"] < 0).all() and (found["p_value"] == 2 / 2**6).all()
    every = paired.compared(tmp_path, "one", "two", score="rmse")
    np.testing.assert_allclose(every["percent"], -100 * (1 - 0.5 / 2**0.5), atol=3)
    with pytest.raises(SlamsError, match=r"8 members are asked for: the analysis of arm one has 4"):
        paired.compared(tmp_path, "one", "two", members=8)


def test_the_trainings_benchmark_compares_the_same_work(tmp_path, monkeypatch):
    monkeypatch.setitem(training.SIZES, "tiny", (8, 16, (25,), 1))
    world = training.build(tmp_path, "tiny", 9, 2, torch.device("cpu"), zarr=True)
    days = np.stack([training.window_of_days(world.days, 3)])
    assert np.array_equal(days, world.fields.batch(np.array([3]), training.WINDOW))
    with torch.no_grad():
        encoded = world.encoder.encode(torch.from_numpy(days)).numpy()
    stored = world.latents.batch(np.array([3]), training.WINDOW)
    np.testing.assert_allclose(encoded, stored, rtol=1e-4, atol=1e-5)
    assert training.plain(world, 2) > 0
    card = training.ours(world, 3)
    assert card["samples_per_second"] > 0 and 0 <= card["waiting_for_data"] < 1
    # Convolutions of 5 steps x 5 channels on 8 x 16 cells, forwards and twice that backwards.
    assert training.work(world) > 3 * 2 * 2 * 9 * 25 * 25 * 8 * 16


def test_scaling_does_the_work_of_every_rule(tmp_path):
    for rule in scaling.RULES:
        scaling.measured(rule, 60, 22.5, tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {
        *("era5.nc", "statistics.nc", "train.nc", "train.npy", "latents.nc", "latents.npy"),
        *("imagery.pt", "imagery.csv", "imagery.json", "checkpoints"),
    }
    found = scaling.in_a_process("nothing")
    assert found["memory"] > 10 and found["seconds"] > 0


def drawn(*names: str) -> set[str]:
    """The files of some figures."""
    return {f"{name}.{kind}" for name in names for kind in ("png", "pdf")}


@pytest.mark.parametrize("table", scaling_ends.TABLES, ids=lambda table: table[0])
def test_scaling_reads_raw_files_and_draws(table, tmp_path):
    _, _, made, rules = table
    smallest = {"make_raw_fields": 31, "make_raw_stations": 10, "make_cell": 4, "make_scores": 2}
    smallest |= {"make_globe": 128, "make_statistics": 128}  # cells
    smallest |= {"make_reports": 2000, "make_residuals": 500, "make_losses": 400}
    scaling_ends.measured(made, smallest[made], tmp_path)
    before = set(tmp_path.rglob("*"))
    for rule in rules:
        scaling_ends.measured(rule, smallest[made], tmp_path)
    left = {path.name for path in set(tmp_path.rglob("*")) - before}
    assert (
        left
        == {
            "make_raw_fields": set(),
            "make_raw_stations": {"reports.parquet"},
            "make_cell": {"scores.parquet"},
            "make_globe": {"film.gif", *drawn("maps", "increments", "still", "series")},
            "make_scores": {
                "comparisons.parquet",
                *drawn("averaged", "levels", "profiles", "rank_histograms", "spectra"),
                *drawn("comparisons"),
            },
            "make_reports": drawn("stations"),
            "make_residuals": drawn("operators"),
            "make_losses": drawn("losses"),
            "make_statistics": drawn("climate"),
        }[made]
    )
