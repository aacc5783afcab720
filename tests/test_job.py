"""The frame around a script: what reaches its log, standard error and the caller."""

import logging
import re

import pytest
import torch

from slams.errors import ConfigError, SlamsError
from slams.job import job

log = logging.getLogger("slams.somewhere")


@pytest.fixture(autouse=True)
def _as_before():
    threads, root = torch.get_num_threads(), logging.getLogger("slams")
    level, handlers = root.level, list(root.handlers)
    yield
    torch.set_num_threads(threads)
    root.setLevel(level)
    assert root.handlers == handlers


def test_what_slams_says_goes_to_the_log(tmp_path):
    path = tmp_path / "logs/rule/a.log"
    with job(path):
        log.info("a step of %d", 3)
        log.debug("not this")
        logging.getLogger("other").warning("nor this")
    log.warning("nor what comes after")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d a step of 3\n", path.read_text())


def test_a_job_begins_its_log_anew(tmp_path):
    for text in ("one", "two"):
        with job(str(tmp_path / "a.log")):
            log.info(text)
    assert (tmp_path / "a.log").read_text().endswith(" two\n")
    assert "one" not in (tmp_path / "a.log").read_text()


def test_a_job_has_the_threads_it_was_given(tmp_path):
    for threads in (3, 1):
        with job(tmp_path / "a.log", threads):
            assert torch.get_num_threads() == threads


@pytest.mark.parametrize("kind", [SlamsError, ConfigError])
def test_an_error_for_a_person_is_its_message_alone(tmp_path, capsys, kind):
    path = tmp_path / "a.log"
    with pytest.raises(SystemExit) as ended, job(path):
        log.info("reading")
        raise kind("a.nc is half; fetch it again")
    assert ended.value.code == 1 and ended.value.__suppress_context__
    first, second = path.read_text().splitlines()
    assert first.endswith(" reading") and second == "error: a.nc is half; fetch it again"
    assert capsys.readouterr().err == "error: a.nc is half; fetch it again\n"


def test_a_defect_keeps_its_traceback(tmp_path):
    path = tmp_path / "a.log"
    with pytest.raises(ZeroDivisionError), job(path):
        1 / 0  # noqa: B018
    text = path.read_text()
    assert text.startswith("error: Traceback") and text.rstrip().endswith(
        "ZeroDivisionError: division by zero"
    )
    assert "test_job.py" in text


def test_an_orderly_end_is_no_error(tmp_path):
    with pytest.raises(SystemExit, match="stopped by SIGTERM"), job(tmp_path / "a.log"):
        raise SystemExit("stopped by SIGTERM at step 8")
    assert (tmp_path / "a.log").read_text() == ""


def test_ctrl_c_leaves_no_traceback(tmp_path, capsys):
    path = tmp_path / "a.log"
    with pytest.raises(SystemExit) as ended, job(path):
        raise KeyboardInterrupt
    assert ended.value.code == 130 and ended.value.__suppress_context__
    assert path.read_text() == "interrupted\n" and capsys.readouterr().err == ""
