"""kill -9, of snakemake or of a job, then the same command: it goes on, to the same weights."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from working_copy import LIMIT, Copy, jobs, wait

MODEL = "results/tiny/models/prior-pixel.pt"
CHECKPOINTS = "results/tiny/models/checkpoints/prior-pixel"
STEPS = 300
KEYS = {"prior": {"pixel": {"training": {"steps": STEPS, "checkpoint_every": 5}}}}

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="jobs are found in /proc")


def went_on_from(copy: Copy) -> int:
    """The step from which the last training went on."""
    log = (copy / "results/tiny/logs/train_prior/pixel.log").read_text()
    found = re.search(rf"going on from step (\d+) of {STEPS}", log)
    assert found, log
    return int(found[1])


def same(one: object, other: object) -> bool:
    """Whether two saved models are equal, to the last bit of every weight."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def model(copy: Copy) -> object:
    return torch.load(copy / MODEL, weights_only=True)


@pytest.fixture(scope="module")
def uninterrupted(tiny: tuple[Copy, object], tmp_path_factory: pytest.TempPathFactory) -> object:
    """The model of a training that nobody disturbed."""
    copy = tiny[0].duplicate(tmp_path_factory.mktemp("reference") / "copy")
    call = copy.snakemake(MODEL, keys=KEYS)
    assert call.status == 0, call.text
    return model(copy)


@pytest.fixture
def training(finished: Copy) -> Iterator[tuple[Copy, subprocess.Popen[bytes], int]]:
    """A call whose training has just written a checkpoint, and is held there by SIGSTOP."""
    shutil.rmtree(finished / CHECKPOINTS)
    call = finished.start(MODEL, keys=KEYS)
    try:
        wait(lambda: call.poll() is not None or (finished / CHECKPOINTS / "checkpoint.pt").exists())
        (job,) = jobs(finished)
        os.kill(job, signal.SIGSTOP)
        yield finished, call, job
    finally:
        call.kill()
        call.wait()
        for left in jobs(finished):
            os.kill(left, signal.SIGKILL)


def test_a_killed_snakemake(
    training: tuple[Copy, subprocess.Popen[bytes], int], uninterrupted: object
) -> None:
    copy, call, job = training
    call.kill()
    call.wait()
    # The job is an orphan now. The same command begins another, which waits until it is gone.
    again = copy.start(MODEL, keys=KEYS)
    wait(lambda: len(jobs(copy)) == 2)
    os.kill(job, signal.SIGKILL)
    assert again.wait(LIMIT) == 0, copy.said()
    assert "Removed the lock of a run that was killed; going on from there." in copy.said()
    assert 0 < went_on_from(copy) < STEPS
    assert same(model(copy), uninterrupted)
    assert copy.plan(MODEL, keys=KEYS) == {}


def test_a_killed_job(
    training: tuple[Copy, subprocess.Popen[bytes], int], uninterrupted: object
) -> None:
    copy, call, job = training
    os.kill(job, signal.SIGKILL)
    assert call.wait(LIMIT) == 1
    assert "A job ended without a message of its own: it was killed" in copy.said()
    again = copy.snakemake(MODEL, keys=KEYS)
    assert again.status == 0, again.text
    assert 0 < went_on_from(copy) < STEPS
    assert same(model(copy), uninterrupted)
