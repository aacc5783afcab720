"""One finished run on SLURM for all tests, and copies of it to take results away from."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from submission import Submission, Submit
from working_copy import Call, Copy, checkout

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def cluster() -> None:
    """The started SLURM; the tests fail where it is not."""
    done = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"start it with {FOLDER / 'cluster'}: {done.stderr}"


@pytest.fixture(scope="session")
def whole(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Copy, Call, list[str]]:
    """The tiny workflow from end to end: the copy, the call, what SLURM says of its jobs."""
    copy = checkout(tmp_path_factory.mktemp("slurm") / "tiny")
    submission = Submission(copy)
    try:
        call = submission.end()
        return copy, call, list(submission.jobs().values())
    finally:
        submission.kill()


@pytest.fixture
def finished(whole: tuple[Copy, Call, list[str]], tmp_path: Path) -> Copy:
    """A copy of the finished run, to take results away from."""
    made, call, _ = whole
    assert call.status == 0, call.text
    return made.duplicate(tmp_path / "finished")


@pytest.fixture
def submit(finished: Copy) -> Iterator[Submit]:
    """A function that submits in `finished`; what still runs at the end of the test is ended."""
    begun: list[Submission] = []

    def start(*arguments: str, **options: Any) -> Submission:
        begun.append(Submission(finished, *arguments, **options))
        return begun[-1]

    yield start
    for submission in begun:
        submission.kill()
