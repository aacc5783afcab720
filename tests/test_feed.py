"""The batches of a training: their order, who reads them, and what a step waits."""

import threading
import time

import numpy as np
import pytest
import torch

from slams.feed import AHEAD, Feed

CPU = torch.device("cpu")


def indices(step):
    return np.array([step, 10 * step])


def test_every_step_gets_its_own_batch_read_by_another_thread():
    threads = set()

    def read(chosen):
        threads.add(threading.current_thread())
        return torch.from_numpy(chosen), torch.from_numpy(chosen + 1)

    with Feed(read, indices, 3, 6, CPU) as feed:
        for step in (3, 4, 5):
            one, other = feed.take()
            assert one.tolist() == [step, 10 * step] and other.tolist() == [step + 1, 10 * step + 1]
        with pytest.raises(IndexError, match="no step after 6"):
            feed.take()
    assert len(threads) == 1 and threading.current_thread() not in threads


def test_some_batches_are_read_ahead_and_no_more():
    asked = []

    def read(chosen):
        asked.append(int(chosen[0]))
        return torch.from_numpy(chosen)

    with Feed(read, indices, 0, 9, CPU) as feed:
        feed.take()
        time.sleep(0.2)
        assert asked == list(range(1 + AHEAD))


def test_what_a_step_waits_is_counted():
    def read(chosen):
        time.sleep(0.1)
        return torch.from_numpy(chosen)

    with Feed(read, indices, 0, 4, CPU) as feed:
        feed.take()
        assert feed.waited > 0.09
        before = feed.waited
        time.sleep(0.4)  # a step that lasts longer than the reading
        feed.take()
        assert feed.waited - before < 0.05


def test_a_fault_in_reading_comes_out_at_its_step():
    def read(chosen):
        if chosen[0] == 1:
            raise OSError("store is gone")
        return torch.from_numpy(chosen)

    with Feed(read, indices, 0, 4, CPU) as feed:
        feed.take()
        with pytest.raises(OSError, match="store is gone"):
            feed.take()
