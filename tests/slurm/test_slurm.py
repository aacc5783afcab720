"""A real SLURM: end to end, a time limit, a drained node, two calls at once, two nodes."""

import json
import re
import shutil

import numpy as np
import pandas as pd
from submission import Submission, Submit, remove, slurm, wait
from working_copy import Call, Copy

from slams.provenance import file_hash

# SLURM looks for jobs over their limit twice a minute: long enough for that on quick cores, too.
STEPS = 5_000
LONG = {"prior": {"pixel": {"training": {"steps": STEPS, "checkpoint_every": 50}}}}


def state(job: str) -> str:
    """The state that SLURM gives a job."""
    found = re.search(r"JobState=(\w+)", job)
    assert found, job
    return found[1]


def begun(call: Submission) -> bool:
    """Whether a job of a call has left the queue."""
    return any(state(job) != "PENDING" for job in call.jobs().values())


def test_end_to_end(whole: tuple[Copy, Call, list[str]]) -> None:
    copy, call, jobs = whole
    assert call.status == 0, call.text
    assert (copy / "results/tiny/report.html").is_file()
    assert len(pd.read_parquet(copy / "results/tiny/scores.parquet"))
    assert {state(job) for job in jobs} == {"COMPLETED"}
    comments = [re.search(r"Comment=(\S+)", job)[1] for job in jobs]
    of = dict(zip(comments, jobs, strict=True))
    assert len(jobs) < 30  # of 54 jobs of Snakemake's
    # From the table: memory, time, partition; a GPU for a training, none for a regridding.
    training = of["rule_train_autoencoder"]
    assert "gres:gpu:1" in training and "Partition=gpu" in training
    assert "TimeLimit=12:00:00" in training and "MinMemoryNode=32000M" in training
    regridding = of["rule_regrid_era5_wildcards_2001"]
    assert "gres" not in regridding and "Partition=cpu" in regridding
    # Small jobs are grouped: one SLURM job for all figures and the report, one for several cells.
    assert sum("draw_" in name or "report" in name for name in comments) == 1
    assert sum("cell" in name for name in comments) <= 3, comments  # of 8 cells


def test_a_job_over_its_time_limit_goes_on(finished: Copy, submit: Submit) -> None:
    checkpoint = finished / "results/tiny/models/checkpoints/prior-pixel/checkpoint.pt"
    checkpoint.unlink(missing_ok=True)
    call = submit("results/tiny/models/prior-pixel.pt", keys=LONG)
    wait(lambda: call.process.poll() is not None or checkpoint.exists())
    (first,) = call.jobs()
    # The shortest limit is a minute; this way the test need not wait for it to come.
    slurm("scontrol", "update", f"jobid={first}", "endtime=now")
    done = call.end()
    assert done.status == 0, done.text
    assert [state(job) for job in call.jobs().values()] == ["TIMEOUT", "COMPLETED"]
    log = (finished / "results/tiny/logs/train_prior/pixel.log").read_text()
    went_on = re.search(rf"going on from step (\d+) of {STEPS}", log)
    assert went_on and int(went_on[1]) > 0, log


def test_a_drained_node(finished: Copy, submit: Submit) -> None:
    made = ["statistics.nc", "operators/persistence-1.nc"]
    before = file_hash(finished / "results/tiny/operators/persistence-1.nc")
    remove(finished, *made)
    call = submit("results/tiny/operators/persistence-1.nc")
    node = slurm("hostname", "-s").strip()
    # Once it runs: a job that still waits when its node is drained waits for good.
    wait(lambda: call.process.poll() is not None or begun(call))
    slurm("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
    try:
        # What ran goes on to its end; what comes next waits for the node, and nothing fails.
        wait(lambda: call.process.poll() is not None or len(call.jobs()) > 1)
        last = list(call.jobs())[-1]
        assert state(slurm("scontrol", "show", "job", last)) == "PENDING", call.said.read_text()
        assert call.process.poll() is None
    finally:
        slurm("scontrol", "update", f"nodename={node}", "state=resume")
    done = call.end()
    assert done.status == 0, done.text
    assert {state(job) for job in call.jobs().values()} == {"COMPLETED"}
    assert file_hash(finished / "results/tiny/operators/persistence-1.nc") == before


def test_two_calls_at_once(finished: Copy, submit: Submit) -> None:
    remove(finished, "operators/stations.nc", "figures/climate.png", "figures/climate.pdf")
    one = submit("results/tiny/operators/stations.nc", name="one")
    wait(lambda: one.process.poll() is not None or one.jobs())
    other = submit("results/tiny/figures/climate.png", name="other")
    for call in (one, other):
        done = call.end()
        assert done.status == 0, done.text
        assert len(call.jobs()) == 1
    assert (finished / "results/tiny/operators/stations.nc").is_file()
    assert (finished / "results/tiny/figures/climate.pdf").is_file()


def test_cells_share_a_job(finished: Copy, submit: Submit) -> None:
    """Two of three values: rules of their own names have the table's row of a cell alone."""
    keys = {"cells_together": 2, "axes": {"noise": {"values": [0.5, 1, 2]}}}
    call = submit("results/tiny/cells/latent-both/noise-1/scores.parquet", keys=keys)
    done = call.end()
    assert done.status == 0, done.text
    classical, cells = call.jobs().values()
    assert state(classical) == state(cells) == "COMPLETED"
    assert "TimeLimit=08:00:00" in classical and "Partition=gpu" not in classical
    # Assimilations and their scores are one SLURM job: twice 480 and twice 60 minutes.
    assert "TimeLimit=18:00:00" in cells and "gres:gpu:1" in cells and "Partition=gpu" in cells
    assert "MinMemoryNode=16000M" in cells


def test_a_training_on_two_nodes(finished: Copy, submit: Submit) -> None:
    """Four processes, which srun starts and which meet by TCP: the loss curve of the one."""
    model = finished / "results/tiny/models/prior-pixel.pt"
    alone = pd.read_csv(model.with_suffix(".csv"))
    shutil.rmtree(finished / "results/tiny/models/checkpoints")
    keys = {"device": "cpu", "trainer": {"devices": 2, "nodes": 2}}
    call = submit(
        "results/tiny/models/prior-pixel.pt",
        *("--forcerun", "train_prior"),
        keys=keys,
        gpu_partition="pair",
    )
    done = call.end()
    assert done.status == 0, done.text
    (job,) = call.jobs().values()
    assert state(job) == "COMPLETED" and "NumNodes=2" in job
    assert json.loads(model.with_suffix(".json").read_text())["processes"] == 4
    together = pd.read_csv(model.with_suffix(".csv"))
    assert list(together["step"]) == list(alone["step"])
    for column in ("train_loss", "validation_loss"):
        np.testing.assert_allclose(together[column], alone[column], rtol=1e-4)
    logs = finished / "results/tiny/logs/train_prior"
    for name in ("pixel.log", *(f"pixel.log.rank{rank}" for rank in (1, 2, 3))):
        assert "step 20 of 20: " in (logs / name).read_text()
