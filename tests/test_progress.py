"""How far a training is: lines in the log, and a bar only where someone looks."""

import logging
import re

import pytest

from slams import progress
from slams.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when told to."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_says_rate_and_time_left(clock, caplog):
    with caplog.at_level(logging.INFO), Progress(20, 100) as one:
        for _ in range(30):
            clock[0] += 0.5
            one.step(0.25)
        one.line("validation 0.5000")
    assert caplog.messages == ["step 50 of 100: validation 0.5000; 2 steps/s, 00:25 left"]


def test_lines_come_by_themselves_but_not_often(clock, caplog):
    with caplog.at_level(logging.INFO), Progress(0, 100) as one:
        for _ in range(100):
            clock[0] += 2.0
            one.step(0.25)
    steps = [int(re.match(r"step (\d+) of 100: train 0\.2500; ", m)[1]) for m in caplog.messages]
    assert steps == [30, 60, 90]


def test_no_bar_where_there_is_no_terminal(capsys):
    with Progress(0, 3) as one:
        for _ in range(3):
            one.step(0.25)
    assert capsys.readouterr() == ("", "")
