"""Cells that share a job: the same results, a kill loses none of them, and the key may change."""

import os
import re
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

    # Two a job: the first of them finds both of its cells.
    twos = TOGETHER | {"cells_together": 2}
    assert finished.plan(TARGET, keys=twos) == {}
    two = finished.snakemake(TARGET, "--forcerun", "assimilate_cell_noise_1", keys=twos)
    assert two.status == 0 and two.plan == {"assimilate_cell_noise_1": 1}, two.text
    log = (finished / "results/tiny/logs/assimilate_cell/latent-both/noise_1.log").read_text()
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


def test_a_job_asks_for_as_many_times_as_long_as_it_has_cells(fresh: Copy) -> None:
    """A profile says what a cell alone takes; what it says of a job by name goes before."""
    asked = ["assimilate_cell:runtime=7", "assimilate_cell:mem_mb=5000"]
    asked += ["verify_cell:runtime=3*attempt", "verify_cell_noise_2:runtime=90"]
    call = fresh.snakemake(
        "results/tiny/scores.parquet",
        "-n",
        *("--workflow-profile", "profiles/default"),
        *("--set-resources", *asked),
        keys=TOGETHER | {"cells_together": 2},
    )
    assert call.status == 0, call.text
    assert "warning: --set-resources replaces all that the profile says" in call.text
    # The latest line that tells a rule's resources, of each rule.
    found = dict(re.findall(r"^rule (\w+):\n(?:    .*\n)*?    resources: (.*)", call.text, re.M))
    assert "mem_mb=5000," in found["assimilate_cell_noise_1"]
    minutes = {
        rule: re.findall(r"runtime=(\d+)", text)
        for rule, text in found.items()
        if re.match("(assimilate|verify)_cell_noise", rule)
    }
    assert minutes == {
        "assimilate_cell_noise_1": ["14"],
        "assimilate_cell_noise_2": ["7"],
        "verify_cell_noise_1": ["6"],
        "verify_cell_noise_2": ["90"],
    }
