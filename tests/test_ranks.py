"""Training in two processes (gloo): what one process gives, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from worlds import GRID, days, statistics, weather

from slams import ranks
from slams.autoencoder import Autoencoder
from slams.prior import Prior
from slams.store import StoreWriter

# What a rule's script is: a function, and its run.
SCRIPT = '''
"""Train an autoencoder, a prior with a base and an imagery operator."""

from pathlib import Path

import xarray as xr

from slams import ranks
from slams.observation.imagery_fit import train_imagery
from slams.recipes import train_autoencoder, train_prior
from slams.store import Store
from slams.training import Settings


def train(task, device):
    stores = [Store(task.input.train), Store(task.input.validation)]
    images = xr.open_dataarray(task.input.images).load()
    statistics = xr.load_dataset(task.input.statistics)
    folder = Path(task.output.folder)
    common = {"settings": Settings(**task.params.settings), "seed": 5, "fingerprint": "f"}
    common |= {"device": device, "attributes": {}}
    train_autoencoder(
        *stores,
        folder / "autoencoder.pt",
        architecture={"latent_channels": 4, "width": 8, "depth": 1, "downsample": 2},
        latent_noise=0.1,
        checkpoints=folder / "a",
        **common,
    )
    train_prior(
        *stores,
        folder / "prior.pt",
        statistics=statistics,
        autoencoder=None,
        window=2,
        step_hours=24,
        architecture={"width": [8, 8], "blocks": 1, "embedding": 8, "modes": 6},
        checkpoints=folder / "p",
        **common,
    )
    train_imagery(
        *stores,
        folder / "imagery.pt",
        statistics=statistics,
        channels=["irwin_cdr"],
        pieces=lambda: [images],
        checks=lambda: [images],
        architecture={"width": 8, "depth": 1},
        harmonics=0,
        checkpoints=folder / "i",
        **common,
    )


ranks.run(snakemake, train)
'''
SETTINGS = {"steps": 8, "batch": 4, "warmup_steps": 2, "ema_decay": 0.9, "roll_longitude": True}
SETTINGS |= {"learning_rate": 3e-3, "validate_every": 2, "checkpoint_every": 2}
NETWORKS = ("autoencoder", "prior", "imagery")


class Named(dict):
    """A dictionary with attributes, as Snakemake's lists have them."""

    __getattr__ = dict.__getitem__


def task(folder, *, devices=1, nodes=1, script=None, **settings):
    """What a rule's script gets from Snakemake."""
    folder.mkdir(parents=True, exist_ok=True)
    if script is not None:
        (folder / "rule.py").write_text(textwrap.dedent(script))
    return Named(
        input=Named({name: str(folder.parent / f"{name}.nc") for name in FILES}),
        output=Named(folder=str(folder)),
        params=Named(device="cpu", checkpoints=str(folder / "c"), settings=SETTINGS | settings),
        wildcards=Named(),
        config={
            "trainer": {"devices": devices, "nodes": nodes},
            "day": np.datetime64("2001-01-01"),
        },
        threads=1,
        log=[str(folder / "rule.log")],
        rule="rule",
        scriptdir=str(folder),
    )


COORDS = {"latitude": GRID.latitude, "longitude": GRID.longitude}
FILES = ("train", "validation", "images", "statistics")


@pytest.fixture(scope="module")
def planet(tmp_path_factory):
    """Stores of smooth weather, and images of its lowest level, the last with few pixels seen."""
    folder = tmp_path_factory.mktemp("planet")
    fields = weather(60)
    statistics().to_netcdf(folder / "statistics.nc")
    for name, part in (("train", slice(44)), ("validation", slice(44, 60))):
        writer = StoreWriter(folder / f"{name}.nc", fields.shape[1:], len(fields[part]))
        writer.add(fields[part])
        times = ("field", days("2001-01-01", 60)[part])
        number = ("field", np.zeros(len(fields[part]), int))
        writer.close(statistics()[["scale"]].assign_coords(time=times, number=number, **COORDS))
    rng = np.random.default_rng(1)
    seen = 250 + 10 * fields[:, -1:] + rng.normal(0, 1, (60, 1, *GRID.shape))
    # Shares of a batch then differ in how much they saw.
    seen[rng.random(seen.shape) < rng.random((60, 1, 1, 1))] = np.nan
    coords = {"time": days("2001-01-01", 60), "channel": ["irwin_cdr"], **GRID.coordinates()}
    dims = ("time", "channel", "latitude", "longitude")
    xr.DataArray(seen.astype(np.float32), coords, dims).to_netcdf(folder / "images.nc")
    return folder


def run_script(given):
    """Run a task's script as Snakemake does, in this process."""
    code = compile((Path(given.scriptdir) / "rule.py").read_text(), "rule.py", "exec")
    exec(code, {"snakemake": given})


@pytest.fixture(scope="module")
def alone(planet):
    given = task(planet / "one", script=SCRIPT)
    run_script(given)
    return planet / "one"


@pytest.fixture(scope="module")
def together(planet):
    given = task(planet / "two", devices=2, script=SCRIPT)
    run_script(given)
    return planet / "two"


@pytest.mark.parametrize("network", NETWORKS)
def test_two_processes_have_the_loss_curve_of_one(alone, together, network):
    one, two = (pd.read_csv(folder / f"{network}.csv") for folder in (alone, together))
    assert two["step"].tolist() == [2, 4, 6, 8]
    for column in ("train_loss", "validation_loss"):
        assert one[column].nunique() == 4
        np.testing.assert_allclose(two[column], one[column], rtol=1e-4)
    cards = [json.loads((f / f"{network}.json").read_text()) for f in (alone, together)]
    assert [card["processes"] for card in cards] == [1, 2]
    assert cards[0]["parameters"] == cards[1]["parameters"]


def test_the_models_are_whole(alone, together):
    for read in (
        lambda folder: Autoencoder.load(folder / "autoencoder.pt"),
        lambda folder: Prior.load(folder / "prior.pt").denoiser,
    ):
        one, two = (read(folder).state_dict() for folder in (alone, together))
        for name in one:
            torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-4)


def test_the_first_process_alone_has_the_jobs_log(together):
    text = (together / "rule.log").read_text()
    assert text.count("step 8 of 8: ") == 3 and "\0" not in text
    assert (together / "rule.log.rank1").read_text().count("step 8 of 8: ") == 3
    assert sorted(path.name for path in together.glob("c/*")) == ["task.json"]


# How it ends

LASTING = """
import os, sys, time
from pathlib import Path
import torch
from slams import ranks, world
from slams.training import Settings, train

def work(task, device):
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    data = torch.randn(40, 4, generator=torch.Generator().manual_seed(1))
    count = 0

    def loss(net, x, draws):
        nonlocal count
        count += 1
        time.sleep(0.02)
        if count == 30 and world.rank() == 1 and os.environ.get("FAULT") == "nan":
            return net(x).mean() * float("nan")
        return (net(x + 0.1 * draws.normal(4)) - 1).square().mean()

    _, curve, card = train(
        model, lambda chosen: data[chosen], loss, lambda net: float(net(data).square().mean()),
        samples=40, settings=Settings(**task.params.settings), seed=1,
        folder=Path(task.params.checkpoints), fingerprint="f", device=device,
    )
    if not world.rank():
        torch.save(model.state_dict(), Path(task.output.folder) / "model.pt")
        curve.to_csv(Path(task.output.folder) / "curve.csv")

ranks.run(snakemake, work)
"""
# A process of its own, as a script of Snakemake is.
OUTER = """
import sys
from pathlib import Path
from test_ranks import LASTING, run_script, task
run_script(task(Path(sys.argv[1]), devices=2, script=LASTING, steps=int(sys.argv[2])))
"""


def start(folder, fault="", steps=60):
    return subprocess.Popen(
        [sys.executable, "-c", OUTER, str(folder), str(steps)],
        cwd=Path(__file__).parent,
        env={**os.environ, "FAULT": fault, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def checkpoint(folder):
    return torch.load(folder / "c/checkpoint.pt", weights_only=True)


def wait_for_step(folder, step):
    until = time.monotonic() + 300
    path = folder / "c/checkpoint.pt"
    while not path.is_file() or checkpoint(folder)["done"] < step:
        assert time.monotonic() < until
        time.sleep(0.05)


def finish(run):
    """Wait for a run that is to end well."""
    said = run.communicate(timeout=600)[1]
    assert run.returncode == 0, said


def test_ends_by_force_cost_little(tmp_path):
    """Killed, the processes' own find out and end in order; SIGTERM is passed on to them."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(start(whole))
    for how, step in (("SIGKILL", 6), ("SIGTERM", 26)):
        run = start(broken)
        try:
            wait_for_step(broken, step)
            run.send_signal(getattr(signal, how))
            said = run.communicate(timeout=120)[1]
        finally:
            run.kill()
        assert run.returncode == (1 if how == "SIGTERM" else -9)
        assert "stopped by SIGTERM" in said
        assert "error: " not in (broken / "rule.log").read_text()
        assert not (broken / "model.pt").exists()
    finish(start(broken))
    assert "going on from step" in (broken / "rule.log").read_text()
    one, other = (torch.load(f / "model.pt", weights_only=True) for f in (whole, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_is_no_number_in_one_process_ends_all(tmp_path):
    run = start(tmp_path, "nan")
    said = run.communicate(timeout=600)[1]
    assert run.returncode == 1
    message = "error: training: the loss is nan at step 29; the last checkpoint stays"
    assert message in said and (tmp_path / "rule.log").read_text().count(message) == 1
    assert checkpoint(tmp_path)["done"] == 28


@pytest.mark.parametrize(
    ("first", "second", "statuses", "cause"),
    [
        ("error: the loss is nan", "error: the loss is nan", [1, 1], None),
        ("a step", "a step", [-15, -9], r"2 processes of this training ended with status -15, -9"),
        ("error: Connection closed by peer", "a step", [1, -9], r"ended with status 1, -9 "),
        ("error: Connection closed by peer", "error: no disk", [1, 1], r"process 1 of 2: no disk"),
        ("", "error: reset by peer", [-9, 1], r"ended with status -9, 1 "),
        # Of several nodes: the status is srun's, the logs are those of its processes.
        ("error: Connection closed by peer", "error: no disk", [1], r"process 1 of 2: no disk"),
        ("a step", "a step", [137], r"the 2 processes of this training ended with status 137 "),
    ],
)
def test_the_cause_is_told_from_what_follows_from_it(tmp_path, first, second, statuses, cause):
    path = tmp_path / "rule.log"
    path.write_text(first)
    (tmp_path / "rule.log.rank1").write_text(second)
    found = ranks._cause(statuses, path, 2)
    assert found is None if cause is None else re.search(cause, found)


def test_a_process_that_dies_takes_the_others_along():
    """It is the first to end; the other would wait for it for ever."""
    ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    waiting = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    before = ranks.PARTING
    try:
        ranks.PARTING = 0.2
        assert ranks._wait([ended, waiting]) is False
    finally:
        ranks.PARTING = before
    assert (ended.returncode, waiting.returncode) == (3, -signal.SIGKILL)


def test_several_nodes_need_a_job_of_slurm(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(SystemExit):
        run_script(task(tmp_path / "a", nodes=2, script=LASTING))
    assert "trainer.nodes: 2, but this job runs on no nodes of SLURM" in capsys.readouterr().err
