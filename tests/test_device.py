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

from slams import device
from slams.device import choose, claim, claim_several
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
    cards = [SimpleNamespace(uuid="card-0")]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda taken: cards[taken.index])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a pretended card")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return cards


@pytest.fixture
def no_time(monkeypatch):
    monkeypatch.setattr(device, "POLL", 0.01)


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
    assert "too few of 1 GPUs are free; waiting for another job" in caplog.text


def test_as_many_jobs_on_a_gpu_as_the_configuration_lets(gpu, no_time):
    gpu.append(SimpleNamespace(uuid="card-1"))
    inside, most, taken = 0, 0, []

    def work():
        nonlocal inside, most
        with claim("auto", 2) as device:
            inside += 1
            most = max(most, inside)
            taken.append(device)
            time.sleep(0.2)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 4 and len(taken) == 6
    # Both GPUs have one job before one has two.
    assert {device.index for device in taken[:2]} == {0, 1}


def test_another_process_keeps_the_gpu_until_it_dies(gpu, tmp_path):
    with claim():
        (lock,) = tmp_path.glob("*card-0.lock")
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


def test_two_gpus_do_not_wait_for_each_other(gpu):
    gpu.append(SimpleNamespace(uuid="card-1"))
    with claim() as one, claim() as other:
        assert {one, other} == {torch.device("cuda", 0), torch.device("cuda", 1)}


def test_several_gpus_of_one_job(gpu, no_time):
    gpu.extend(SimpleNamespace(uuid=f"card-{number}") for number in (1, 2))
    with claim_several("auto", 2) as pair, claim() as third:
        assert pair == [torch.device("cuda", 0), torch.device("cuda", 1)]
        assert third == torch.device("cuda", 2)
    with (
        pytest.raises(ConfigError, match=r"trainer\.devices: 4, but torch sees 3 GPU"),
        claim_several("cuda", 4),
    ):
        pass


def test_jobs_that_want_several_gpus_do_not_lock_each_other_out(gpu, no_time):
    gpu.extend(SimpleNamespace(uuid=f"card-{number}") for number in (1, 2))
    held, most, done = [], [], []

    def work():
        with claim_several("auto", 2) as taken:
            held.extend(taken)
            most.append(len(held) == len(set(held)))
            time.sleep(0.05)
            for device in taken:
                held.remove(device)
        done.append(True)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 5 and all(most)


def test_the_cpu_counts_as_any_number(no_gpu):
    with claim_several("auto", 3) as taken:
        assert taken == [torch.device("cpu")] * 3


def test_a_failed_job_leaves_the_gpu(gpu):
    def fail():
        with claim():
            raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    with claim() as taken:
        assert taken.type == "cuda"
