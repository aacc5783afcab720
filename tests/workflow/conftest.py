"""One finished run of the tiny configuration for all tests, and working copies to break."""

import json
import os
from pathlib import Path

import pytest
from filelock import FileLock
from working_copy import Call, Copy, checkout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.workflow)


@pytest.fixture
def fresh(tmp_path: Path) -> Copy:
    """The repository, with nothing made yet."""
    return checkout(tmp_path / "fresh")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Copy, Call]:
    """The tiny configuration, run once for all tests of all workers. Not to be changed."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, record = base / "tiny", base / "tiny.json"
    with FileLock(base / "tiny.lock"):
        if not record.exists():
            copy = checkout(folder)
            # One GPU, be there one or not: its jobs go one after the other.
            call = copy.snakemake("--resources", "gpu=1")
            record.write_text(json.dumps([call.status, call.text]))
    return Copy(folder), Call(*json.loads(record.read_text()))


@pytest.fixture
def finished(tiny: tuple[Copy, Call], tmp_path: Path) -> Copy:
    """A copy of the finished run, to edit and to run again."""
    made, call = tiny
    assert call.status == 0, call.text
    return made.duplicate(tmp_path / "finished")
