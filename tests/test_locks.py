"""Snakemake's locks after a kill, and the messages that failed jobs left in their logs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slams import locks
from slams.job import job

# A call of ours: clears stale locks, makes its own as Snakemake does, and starts a job.
CALL = """
import pathlib, subprocess, sys, time
from slams import locks
folder = pathlib.Path(sys.argv[1])
cleared = locks.clear_stale(folder)
(folder / "locks").mkdir(exist_ok=True)
(folder / "locks" / sys.argv[2]).write_text("results/a")
child = subprocess.Popen(["sleep", "60"], close_fds=False)
print(cleared, child.pid, flush=True)
time.sleep(60)
"""


class Call:
    """A live call; ``kill`` ends it as ``kill -9`` does, its job goes on."""

    def __init__(self, folder: Path, lock: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CALL, str(folder), lock], stdout=subprocess.PIPE, text=True
        )
        cleared, child = self.process.stdout.readline().split()
        self.cleared, self.child = cleared == "True", int(child)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.kill()
        self.process.stdout.close()
        os.kill(self.child, signal.SIGKILL)


@pytest.fixture
def call(tmp_path):
    """Starts calls in one folder and ends them all."""
    started = []

    def start(lock="0.input.lock"):
        started.append(Call(tmp_path / ".snakemake", lock))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def clear(tmp_path, monkeypatch):
    """clear_stale as a call that is over when it returns."""

    def clear_and_die():
        monkeypatch.setattr(locks, "_held", [])
        found = locks.clear_stale(tmp_path / ".snakemake")
        for descriptor in locks._held:
            os.close(descriptor)
        return found

    return clear_and_die


def names(tmp_path):
    return sorted(path.name for path in tmp_path.glob(".snakemake/locks/*"))


def test_without_locks_there_is_nothing_to_remove(tmp_path, clear, capsys):
    assert clear() is False
    (tmp_path / ".snakemake/locks").mkdir()
    assert clear() is False
    assert capsys.readouterr().err == ""


def test_the_locks_of_a_killed_call_are_removed(tmp_path, call, clear, capsys):
    one = call()
    assert not one.cleared
    one.kill()
    assert names(tmp_path) == ["0.input.lock"]
    # Its job is an orphan that still runs; it does not hold the lock.
    os.kill(one.child, 0)
    assert clear() is True
    assert names(tmp_path) == []
    assert "Removed the lock of a run that was killed" in capsys.readouterr().err
    assert clear() is False


def test_the_locks_of_a_live_call_are_kept(tmp_path, call, clear):
    one = call()
    assert clear() is False
    assert names(tmp_path) == ["0.input.lock"]
    # As long as one of several lives, theirs stay.
    other = call("1.input.lock")
    assert not other.cleared
    one.kill()
    assert clear() is False
    assert names(tmp_path) == ["0.input.lock", "1.input.lock"]
    other.kill()
    assert clear() is True


def write(path, text, age=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    moment = path.stat().st_mtime - age
    os.utime(path, (moment, moment))


def test_the_messages_of_failed_jobs_are_found(tmp_path):
    write(tmp_path / "b.log", "2001-01-01 00:00:00 reading\nerror: b.nc is half\nfetch it again\n")
    write(tmp_path / "a/x.log", "error: Traceback ...\n  File\nKeyError: 'x'\n")
    write(tmp_path / "good.log", "2001-01-01 00:00:00 mean error: 0.3 K\n")
    write(tmp_path / "empty.log", "")
    write(tmp_path / "notes.txt", "error: no log\n")
    write(tmp_path / "binary.log", "error: ")
    (tmp_path / "binary.log").write_bytes(b"\xff\xfe\nerror: \xe9t\xe9\n")
    write(tmp_path / "old.log", "error: of another day\n", age=86400)
    assert locks.failures(tmp_path) == [
        f"{tmp_path}/a/x.log: error: Traceback ...\n  File\nKeyError: 'x'",
        f"{tmp_path}/b.log: error: b.nc is half\nfetch it again",
        f"{tmp_path}/binary.log: error: \ufffdt\ufffd",
    ]


def test_what_a_job_writes_is_found(tmp_path):
    with pytest.raises(ZeroDivisionError), job(tmp_path / "a.log"):
        1 / 0  # noqa: B018
    (found,) = locks.failures(tmp_path)
    assert found.startswith(f"{tmp_path}/a.log: error: Traceback")
    assert found.endswith("ZeroDivisionError: division by zero")
    assert locks.failures(tmp_path / "nothing here") == []


@pytest.mark.parametrize(
    ("call", "looks"),
    [
        ("--cores 2 --configfile config/demo.yaml", False),
        ("results/demo/report.html -c2 -p", False),
        ("-c2 --rerun-incomplete -k", False),
        ("--profile profiles/slurm --notemp", False),
        ("-n", True),
        ("-np --configfile config/demo.yaml", True),
        ("--cores 2 --dry-run", True),
        ("--rulegraph=mermaid-js", True),
        ("--lint", True),
        ("--report results/demo/report.zip", True),
    ],
)
def test_calls_that_only_look(call: str, looks: bool) -> None:
    assert locks.only_looks(call.split()) == looks


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--workflow-profile", "profiles/slurm", "-n"], True),
        (["-n", "--profile=mine"], True),
        (["--workflow-profile", "none"], False),
        (["results/profile", "--cores", "2"], False),
    ],
)
def test_whether_a_profile_is_named(arguments: list[str], told: bool) -> None:
    assert locks.has_profile(arguments) is told
