"""The training loop: what it computes, and that no kill at any moment changes it."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from slams.errors import SlamsError
from slams.trainer import Trainer
from slams.training import (
    Settings,
    batch_indices,
    fingerprint,
    learning_rate,
    train,
)

CPU = torch.device("cpu")
SAMPLES = 40
TINY = Settings(
    steps=24,
    batch=6,
    learning_rate=1e-2,
    warmup_steps=4,
    ema_decay=0.9,
    validate_every=5,
    checkpoint_every=1,
)


class Problem:
    """A small regression whose loss draws random numbers, and a count of the steps made."""

    def __init__(self, pause: float = 0.0) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(SAMPLES, 4, generator=generator)
        self.y = self.x[:, :1] * self.x[:, 1:2]
        self.pause, self.calls = pause, 0

    def read(self, indices):
        return self.x[indices], self.y[indices]

    def loss(self, model, data, draws):
        self.calls += 1
        time.sleep(self.pause)
        x, y = data
        return (model(x + 0.1 * draws.normal(4)) - y).square().mean()

    @torch.no_grad()
    def check(self, model):
        return float((model(self.x) - self.y).square().mean())

    def run(self, folder, settings=TINY, name="a", loss=None, **keys):
        return train(
            self.model,
            self.read,
            loss or self.loss,
            self.check,
            samples=SAMPLES,
            settings=settings,
            seed=7,
            folder=folder,
            fingerprint=name,
            device=CPU,
            **keys,
        )


def weights(model):
    return torch.cat([value.flatten() for value in model.state_dict().values()])


def assert_same_run(one, other):
    """Weights and curves are equal to the last bit, the clock apart."""
    assert torch.equal(weights(one[0]), weights(other[0]))
    pd.testing.assert_frame_equal(
        one[1].drop(columns="seconds"), other[1].drop(columns="seconds"), check_exact=True
    )
    assert one[2]["validation_loss"] == other[2]["validation_loss"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody disturbed."""
    return Problem().run(tmp_path_factory.mktemp("whole"))


# What a step computes


def test_the_learning_rate_warms_up_and_falls_to_zero():
    settings = Settings(steps=1000, batch=1, learning_rate=0.5, warmup_steps=10)
    rates = [learning_rate(settings, step) for step in range(1000)]
    assert rates[:10] == pytest.approx(0.05 * np.arange(1, 11), rel=1e-3)
    assert rates[500] == pytest.approx(0.25)
    assert rates[250] == pytest.approx(0.25 * (1 + 2**-0.5))
    assert np.all(np.diff(rates[10:]) < 0)
    assert 0 < rates[-1] < 1e-5 and learning_rate(settings, 1000) == 0
    assert learning_rate(Settings(steps=9, batch=1, warmup_steps=0), 0) == 1e-3


def test_the_learning_rate_may_fall_along_a_line():
    settings = Settings(steps=50, batch=1, learning_rate=0.5, warmup_steps=5, schedule="linear")
    rates = np.array([learning_rate(settings, step) for step in range(50)])
    assert rates[5:] == pytest.approx(0.5 * (1 - np.arange(5, 50) / 50))
    assert rates[:5] == pytest.approx(0.1 * np.arange(1, 6) * (1 - np.arange(5) / 50))
    with pytest.raises(SlamsError, match=r"schedule: 'step' is not cosine or linear"):
        learning_rate(Settings(steps=9, batch=1, schedule="step"), 0)


@pytest.mark.parametrize(("count", "batch"), [(10, 3), (7, 7), (3, 8), (1, 4)])
def test_every_epoch_holds_every_sample_once(count, batch):
    steps = 4 * count
    drawn = np.concatenate([batch_indices(count, batch, step, 5) for step in range(steps)])
    assert drawn.shape == (steps * batch,)
    epochs = drawn.reshape(-1, count)
    assert np.array_equal(np.sort(epochs, axis=1), np.tile(np.arange(count), (len(epochs), 1)))
    if count > 3:
        assert len({tuple(epoch) for epoch in epochs}) > len(epochs) // 2
        other = [batch_indices(count, batch, step, 6) for step in range(steps)]
        assert not np.array_equal(drawn, np.concatenate(other))


class Slope(nn.Module):
    """One weight under a constant slope: AdamW then moves it by the learning rate a step."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, slope):
        return -slope * self.w.sum()


def slope_run(folder, slopes, **changes):
    """The average's weight at every validation; ``slopes`` a step."""
    settings = Settings(
        steps=len(slopes), batch=1, learning_rate=0.1, weight_decay=0.0, validate_every=1, **changes
    )
    seen, given = [], iter(slopes)

    def check(model):
        seen.append(float(model.w))
        return -len(seen)

    train(
        Slope(),
        torch.from_numpy,
        lambda model, *_: model(next(given)),
        check,
        samples=1,
        settings=settings,
        seed=0,
        folder=folder,
        fingerprint="",
        device=CPU,
    )
    return settings, seen


@pytest.mark.parametrize("slopes", [[1.0] * 60, [1.0, 5e3, 2.0, 1e9] * 15])
def test_schedule_clipping_and_average_are_as_written(tmp_path, slopes):
    settings, seen = slope_run(tmp_path, slopes, warmup_steps=7, ema_decay=0.8, clip_norm=1.0)
    weight = average = 0.0
    for step, found in enumerate(seen):
        cosine = 0.5 * (1 + np.cos(np.pi * step / 60))
        weight += 0.1 * min(1, (step + 1) / 7) * cosine
        decay = min(0.8, (1 + step) / (10 + step))
        average = weight if step == 0 else decay * average + (1 - decay) * weight
        assert found == pytest.approx(average, rel=1e-5), step
    assert len(seen) == settings.steps


def test_weight_decay_pulls_towards_zero(tmp_path):
    run = Problem()
    before = weights(run.model).norm()
    strong = Settings(**{**vars(TINY), "weight_decay": 20.0})
    assert weights(run.run(tmp_path, strong)[0]).norm() < 0.5 * before


def test_it_learns_and_says_what_it_did(whole, tmp_path):
    model, curve, card = whole
    problem = Problem()
    assert not model.training
    assert list(curve.columns) == ["step", "train_loss", "validation_loss", "seconds"]
    assert curve["step"].tolist() == [5, 10, 15, 20, 24]
    assert curve["seconds"].is_monotonic_increasing
    assert curve["validation_loss"].iloc[-1] < problem.check(problem.model)
    assert card["parameters"] == 4 * 8 + 8 + 8 + 1
    assert card["validation_loss"] == curve["validation_loss"].min() == problem.check(model)
    assert card["best_step"] == curve["step"][curve["validation_loss"].idxmin()]
    assert (card["seed"], card["processes"], card["fingerprint"]) == (7, 1, "a")
    assert card["device"].startswith("cpu, ") and 0 <= card["waiting_for_data"] < 1
    assert (card["network"], card["compiled"]) == ("Sequential", False)
    assert card["settings"]["batch"] == 6
    losses = []

    def loss(*arguments):
        value = problem.loss(*arguments)
        losses.append(float(value.detach()))
        return value

    again = problem.run(tmp_path, loss=loss)
    means = [np.mean(losses[a:b]) for a, b in [(0, 5), (5, 10), (10, 15), (15, 20), (20, 24)]]
    assert again[1]["train_loss"].tolist() == pytest.approx(means)


def test_the_best_validation_weights_are_returned(tmp_path):
    problem, kept = Problem(), []
    scripted = iter([3.0, 1.0, float("nan"), 2.0, 1.0])

    def check(model):
        kept.append(weights(model).clone())
        return next(scripted)

    problem.check = check
    model, curve, card = problem.run(tmp_path)
    assert torch.equal(weights(model), kept[1])
    assert not torch.equal(kept[1], kept[-1])
    assert (card["best_step"], card["validation_loss"]) == (10, 1.0)
    assert curve["validation_loss"].tolist()[:2] == [3.0, 1.0]


def test_mixed_precision_trains_in_full_precision_weights(tmp_path):
    settings = Settings(**{**vars(TINY), "precision": "bf16-mixed"})
    model, curve, _ = Problem().run(tmp_path, settings)
    assert weights(model).dtype == torch.float32
    assert np.isfinite(curve["validation_loss"]).all()


# How it runs


def needs_compiler(test):
    return pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")(test)


@needs_compiler
def test_compiled_it_gives_the_same_but_for_rounding(tmp_path, whole, caplog):
    with caplog.at_level("INFO"):
        model, curve, card = Problem().run(tmp_path, trainer=Trainer(compile=True))
    assert "torch.compile: the first step takes minutes" in caplog.text
    assert card["compiled"] is True
    assert model.state_dict().keys() == whole[0].state_dict().keys()
    torch.testing.assert_close(weights(model), weights(whole[0]), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(curve["train_loss"], whole[1]["train_loss"], rtol=1e-4)


def test_what_cannot_be_compiled_is_an_error(tmp_path):
    class Branching(nn.Sequential):
        def forward(self, x):
            return super().forward(x) if float(x.sum()) > 0 else super().forward(-x)

    problem = Problem()
    problem.model = Branching(*problem.model)
    with pytest.raises(SlamsError, match=r"trainer\.compile is true, but torch\.compile failed"):
        problem.run(tmp_path, trainer=Trainer(compile=True))
    assert problem.calls == 1


def test_an_error_of_the_network_is_not_the_compilers(tmp_path):
    problem = Problem()
    problem.x = problem.x[:, :3]
    with pytest.raises(RuntimeError, match=r"size of tensor|mat1 and mat2"):
        problem.run(tmp_path)


def test_tensorboard_is_asked_for_in_vain_or_gets_its_events(tmp_path):
    asked = Trainer(tensorboard=True)
    if not (find_spec("tensorboard") or find_spec("tensorboardX")):
        with pytest.raises(SlamsError, match=r"trainer\.tensorboard is true, .*pip install"):
            Problem().run(tmp_path, trainer=asked)
        return
    Problem().run(tmp_path, trainer=asked)
    (events,) = tmp_path.glob("tensorboard/events.*")
    text = events.read_bytes()
    assert all(name in text for name in (b"train_loss", b"validation_loss", b"learning_rate"))


# What goes wrong


def test_without_a_sample_the_window_is_named(tmp_path):
    with pytest.raises(SlamsError, match=r"periods\.train holds no window"):
        train(
            Slope(),
            torch.from_numpy,
            lambda *_: None,
            lambda _: 0.0,
            samples=0,
            settings=TINY,
            seed=0,
            folder=tmp_path,
            fingerprint="",
            device=CPU,
        )


@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_a_number_that_is_none_names_the_step_and_keeps_the_checkpoint(tmp_path, whole, fault):
    problem = Problem()
    settings = Settings(**{**vars(TINY), "checkpoint_every": 4})

    def loss(*arguments):
        value = problem.loss(*arguments)
        if problem.calls < 11:
            return value
        # The root's gradient at zero is infinite, its value is not.
        return value * float("nan") if fault == "loss" else (value * 0).sqrt()

    with pytest.raises(SlamsError, match=rf"{fault}.* is (nan|inf) at step 10;.*learning_rate"):
        problem.run(tmp_path, settings, loss=loss)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["done"] == 8
    assert all(torch.isfinite(value).all() for value in state["model"].values())
    assert_same_run(Problem().run(tmp_path, settings), whole)


def test_no_finite_validation_loss_is_an_error(tmp_path):
    problem = Problem()
    problem.check = lambda _: float("nan")
    with pytest.raises(SlamsError, match=r"no finite validation loss in 24 steps"):
        problem.run(tmp_path)


# Kills and checkpoints


@pytest.mark.parametrize("step", [1, 5, 11, 23])
def test_an_exception_at_any_step_costs_nothing(tmp_path, whole, step):
    problem = Problem()

    def loss(*arguments):
        if problem.calls == step:
            raise KeyboardInterrupt
        return problem.loss(*arguments)

    with pytest.raises(KeyboardInterrupt):
        problem.run(tmp_path, loss=loss)
    again = Problem()
    # What ran before in the process must not matter.
    torch.manual_seed(step)
    assert_same_run(again.run(tmp_path), whole)
    assert again.calls == TINY.steps - step


def test_a_finished_run_is_not_run_again(tmp_path, whole):
    Problem().run(tmp_path)
    again = Problem()
    assert_same_run(again.run(tmp_path), whole)
    assert again.calls == 0


def test_a_checkpoint_of_another_run_is_not_used(tmp_path, whole):
    other = Settings(**{**vars(TINY), "learning_rate": 1e-4})
    Problem().run(tmp_path, other, name="b")
    again = Problem()
    assert_same_run(again.run(tmp_path), whole)
    assert again.calls == TINY.steps


def test_a_checkpoint_half_written_is_none(tmp_path, whole, monkeypatch):
    saved, save = 0, torch.save

    def fail(state, file):
        nonlocal saved
        saved += 1
        if saved < 9:
            return save(state, file)
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(SlamsError, match=r"checkpoint\.pt could not be written: .* is full"):
        Problem().run(tmp_path)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["checkpoint.pt"]
    again = Problem()
    assert_same_run(again.run(tmp_path), whole)
    assert again.calls == TINY.steps - 8


def test_sigterm_writes_a_checkpoint_and_ends(tmp_path, whole):
    problem = Problem()
    settings = Settings(**{**vars(TINY), "checkpoint_every": 1000})
    before = signal.getsignal(signal.SIGTERM)

    def loss(*arguments):
        if problem.calls == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return problem.loss(*arguments)

    with pytest.raises(SystemExit, match=r"SIGTERM at step 8"):
        problem.run(tmp_path, settings, loss=loss)
    assert signal.getsignal(signal.SIGTERM) is before
    again = Problem()
    assert_same_run(again.run(tmp_path, settings), whole)
    assert again.calls == TINY.steps - 8


# A training whose eighth step, or second validation, lasts; the former in one call of torch.
LONG = """
import pathlib, sys, time
import torch
import test_training as t
from slams import stop

stop.GRACE = 0.5
folder, where = pathlib.Path(sys.argv[1]), sys.argv[2]
problem, checks = t.Problem(), []
check = problem.check

def loss(*arguments):
    if where != "validation" and problem.calls == 7:
        print("long", flush=True)
        large = torch.ones(9000, 9000)
        large @ large
    return t.Problem.loss(problem, *arguments)

def slow(model):
    checks.append(1)
    if where == "validation" and len(checks) == 2:
        print("long", flush=True)
        time.sleep(60)
    return check(model)

if where == "normalised step":
    problem.model.insert(1, torch.nn.BatchNorm1d(8))
problem.check = slow
problem.run(folder, t.RARE, loss=loss)
"""
RARE = Settings(**{**vars(TINY), "checkpoint_every": 1000})


@pytest.mark.parametrize(
    ("where", "step"), [("step", 7), ("validation", 10), ("normalised step", 0)]
)
def test_sigterm_does_not_wait_for_what_lasts(tmp_path, whole, where, step):
    run = subprocess.Popen(
        [sys.executable, "-c", LONG, str(tmp_path), where],
        cwd=Path(__file__).parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert run.stdout.readline() == "long\n"
        time.sleep(0.2)
        run.terminate()
        began = time.monotonic()
        said = run.communicate(timeout=30)[1]
        assert time.monotonic() - began < 5
    finally:
        run.kill()
    assert run.returncode == 1
    assert f"stopped by SIGTERM: the same command goes on from step {step}" in said
    if where == "normalised step":
        # Half a step has changed what was measured of the batches.
        assert not (tmp_path / "checkpoint.pt").exists()
        return
    again = Problem()
    assert_same_run(again.run(tmp_path, RARE), whole)
    assert again.calls == TINY.steps - step


SLOW = Settings(**{**vars(TINY), "steps": 120})
KILLS = 5


def kill_again_and_again(folder: Path) -> None:
    """Run in a process of its own: start the training, kill it at a random moment, and again.

    Forking before torch has started a thread is safe, and saves importing it for every start.
    """
    moments = random.Random(0)
    checkpoint = folder / "checkpoint.pt"
    for _ in range(KILLS):
        before = checkpoint.stat().st_mtime_ns if checkpoint.is_file() else 0
        child = os.fork()
        if not child:
            Problem(pause=0.02).run(folder, SLOW)
            os._exit(0)
        while not checkpoint.is_file() or checkpoint.stat().st_mtime_ns == before:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "it ended before it was killed"


def test_sigkill_at_random_moments_costs_nothing(tmp_path):
    folder, undisturbed = tmp_path / "killed", tmp_path / "whole"
    code = (
        "import sys, pathlib, test_training as t; t.kill_again_and_again(pathlib.Path(sys.argv[1]))"
    )
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=Path(__file__).parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=120,
    )
    done = torch.load(folder / "checkpoint.pt", weights_only=True)["done"]
    assert KILLS <= done < SLOW.steps
    again = Problem()
    resumed = again.run(folder, SLOW)
    assert again.calls == SLOW.steps - done
    assert_same_run(resumed, Problem().run(undisturbed, SLOW))


def test_the_fingerprint_follows_everything_and_no_order():
    one = fingerprint({"a": 1, "b": [2]}, ["x"], "c")
    assert one == fingerprint({"b": [2], "a": 1}, ["x"], "c") and len(one) == 16
    others = [
        fingerprint({"a": 1, "b": [3]}, ["x"], "c"),
        fingerprint({"a": 1, "b": [2]}, ["y"], "c"),
        fingerprint({"a": 1, "b": [2]}, ["x"], "d"),
    ]
    assert len({one, *others}) == 4
