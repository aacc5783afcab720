"""The choice of a device, and that two jobs never share a GPU; the GPU itself is pretended."""

import logging
import subprocess
import sys
import tempfile
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from slams.device import choose, claim
from slams.errors import ConfigError

# Another process that takes a lock file as the kernel knows it, and says so.
HOLDER = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A machine with one GPU, whose lock file lies in ``tmp_path``."""
    card = SimpleNamespace(uuid="card-0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a pretended card")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return card


def test_without_a_gpu(no_gpu):
    assert choose("auto") == choose("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"device: cuda, but torch sees no GPU"):
        choose("cuda")


def test_with_a_gpu(gpu):
    assert choose("auto") == choose("cuda") == torch.device("cuda")
    assert choose("cpu") == torch.device("cpu")


def test_an_unknown_device_is_named(no_gpu):
    with pytest.raises(ConfigError, match=r"device: 'gpu' is not auto, cpu or cuda"):
        choose("gpu")


def test_the_cpu_is_shared(no_gpu, caplog):
    with caplog.at_level(logging.INFO), claim() as one, claim("cpu") as other:
        assert one == other == torch.device("cpu")
    assert "device: cpu" in caplog.text


def test_one_job_at_a_time_on_a_gpu(gpu, caplog):
    inside, most, done = 0, 0, []

    def work():
        nonlocal inside, most
        with claim() as taken:
            inside += 1
            most = max(most, inside)
            time.sleep(0.05)
            inside -= 1
            done.append(taken.type)

    with caplog.at_level(logging.INFO):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert done == ["cuda"] * 4 and most == 1
    assert "a pretended card is taken by another job; waiting" in caplog.text


def test_another_process_keeps_the_gpu_until_it_dies(gpu, tmp_path):
    with claim():
        (lock,) = tmp_path.glob("*.lock")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            taken = threading.Event()

            def work():
                with claim():
                    taken.set()

            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            assert not taken.wait(0.3)
        finally:
            holder.kill()
        assert taken.wait(10)
        thread.join(10)


def test_two_gpus_do_not_wait_for_each_other(gpu, monkeypatch):
    with claim():
        monkeypatch.setattr(
            torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="card-1")
        )
        with claim() as other:
            assert other.type == "cuda"


def test_a_failed_job_leaves_the_gpu(gpu):
    def fail():
        with claim():
            raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    with claim() as taken:
        assert taken.type == "cuda"
