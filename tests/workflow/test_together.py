"""Cells that share a job: the same results, a kill loses none of them, and the key may change."""

import os
import signal
from pathlib import Path

import pytest
import xarray as xr
from working_copy import LIMIT, Copy, jobs, wait

CELLS = "results/tiny/cells/latent-both"
VALUES = ("0.5", "1", "2")  # of which the finished run has the first
AXES = {"noise": {"values": [float(value) for value in VALUES]}}
TOGETHER = {"cells_together": "axis", "axes": AXES}
TARGET = f"{CELLS}/noise-1/analysis.nc"

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="jobs are found in /proc")


def kept(copy: Copy, value: str) -> list[Path]:
    return list((copy / CELLS / f"noise-{value}").glob(".analysis.kept-*"))


def test_cells_of_an_axis_share_a_job(finished: Copy) -> None:
    call = finished.start(TARGET, keys=TOGETHER)
    wait(lambda: bool(kept(finished, "1")))
    for process in jobs(finished):
        os.kill(process, signal.SIGKILL)
    assert call.wait(LIMIT) != 0
    assert not (finished / TARGET).exists()

    again = finished.snakemake(TARGET, keys=TOGETHER)
    assert again.status == 0, again.text
    assert again.plan == {"assimilate_cell_noise": 1}
    log = (finished / "results/tiny/logs/assimilate_cell/latent-both/noise.log").read_text()
    assert log.count("finished by a run before") == 2

    # The key alone changes nothing.
    apart = {"axes": AXES}
    targets = [f"{CELLS}/noise-{value}/analysis.nc" for value in VALUES]
    assert finished.plan(*targets, keys=apart) == {}
    together = xr.load_dataset(finished / TARGET)
    alone = finished.snakemake(TARGET, "--forcerun", "assimilate_cell", keys=apart)
    assert alone.status == 0 and alone.plan == {"assimilate_cell": 1}, alone.text
    xr.testing.assert_equal(xr.load_dataset(finished / TARGET), together)


def test_cells_of_several_axes_share_a_job(finished: Copy) -> None:
    cells = [f"{CELLS}/{cell}/analysis.nc" for cell in ("coarse-2", "noise-0.5", "sparse-2")]
    apart = [xr.load_dataset(finished / cell) for cell in cells]
    keys = {"cells_together": "arm"}
    call = finished.snakemake(cells[0], "--forcerun", "assimilate_cell_axes", keys=keys)
    assert call.status == 0 and call.plan["assimilate_cell_axes"] == 1, call.text
    for cell, alone in zip(cells, apart, strict=True):
        xr.testing.assert_equal(xr.load_dataset(finished / cell), alone)
    # What has another number of axes has a job of its own.
    plan = finished.plan("results/tiny/scores.parquet", "--forceall", keys=keys)
    made = {name: count for name, count in plan.items() if name.startswith("assimilate_cell")}
    assert made == {
        f"assimilate_cell_{name}": n for name, n in [("axes", 2), ("none", 1), ("persistence", 1)]
    }
