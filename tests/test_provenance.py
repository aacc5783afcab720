"""Hashes change with what they stand for and with nothing else; outputs appear whole or not."""

import errno
import json
import os
from datetime import date
from pathlib import Path

import pytest

import slams
from slams.errors import SlamsError
from slams.provenance import (
    PACKAGE,
    atomic,
    attributes,
    code_files,
    code_hash,
    code_version,
    config_hash,
    file_hash,
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package in which `posterior` uses `prior` and `training`, and `training` uses `nets`."""
    files = {
        "__init__.py": "",
        "nets.py": "import torch\n",
        "store.py": "",
        "training.py": "from fake.nets import Net\nfrom .store import Store\n",
        "prior.py": "def load():\n    from fake import training\n",
        "posterior.py": "import fake.prior\nfrom fake.observation import degraded, Station\n",
        "observation/__init__.py": "from . import stations\nfrom ..store import Store\n",
        "observation/stations.py": "from .base import Observation\n",
        "observation/base.py": "",
        "observation/degraded.py": "",
        "observation/imagery.py": "",
        "circular.py": "import fake.circular\nfrom fakes import other\n",
    }
    for name, text in files.items():
        path = tmp_path / "fake" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "fake"


@pytest.fixture
def train(package: Path) -> Path:
    path = package.parent / "train_prior.py"
    path.write_text("from fake.training import fit\nfrom fake.prior import Prior\n")
    return path


@pytest.fixture
def assimilate(package: Path) -> Path:
    path = package.parent / "assimilate_cell.py"
    path.write_text("from fake import posterior\n")
    return path


def _names(script: Path, package: Path) -> set[str]:
    return {path.relative_to(package).as_posix() for path in code_files(script, package)}


def test_code_files_follow_imports(package: Path, train: Path, assimilate: Path) -> None:
    trained = {"__init__.py", "training.py", "nets.py", "store.py", "prior.py"}
    assert _names(train, package) == trained
    observed = {f"observation/{name}.py" for name in ("__init__", "stations", "base", "degraded")}
    assert _names(assimilate, package) == trained | observed | {"posterior.py"}
    assert _names(package / "circular.py", package) == {"__init__.py", "circular.py"}


def test_an_edit_changes_the_hash_of_what_depends_on_it(
    package: Path, train: Path, assimilate: Path
) -> None:
    def hashes() -> tuple[str, str]:
        return code_hash(train, package), code_hash(assimilate, package)

    def edit(name: str) -> None:
        path = package / name
        path.write_text(path.read_text() + "# edited\n")

    before = hashes()
    edit("posterior.py")
    after = hashes()
    assert after[0] == before[0]
    assert after[1] != before[1]
    edit("nets.py")
    last = hashes()
    assert last[0] != after[0]
    assert last[1] != after[1]
    edit("observation/imagery.py")
    assert hashes() == last


def test_a_benchmark_has_the_package_behind_it():
    behind = code_files(Path(__file__).parents[1] / "benchmarks" / "sampler.py")
    assert {PACKAGE / "posterior" / "guidance.py", PACKAGE / "composition.py"} <= set(behind)


def test_code_hash_knows_the_script_and_forgets_the_place(
    package: Path, train: Path, tmp_path: Path
) -> None:
    before = code_hash(train, package)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    package.rename(moved / "fake")
    train.rename(moved / "train_prior.py")
    assert code_hash(moved / "train_prior.py", moved / "fake") == before
    (moved / "train_prior.py").write_text("from fake.training import fit, Prior\n")
    assert code_hash(moved / "train_prior.py", moved / "fake") != before


def test_slams_itself(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from slams.provenance import atomic\n")
    names = {path.name for path in code_files(script)}
    assert names == {"__init__.py", "errors.py", "provenance.py"}
    assert len(code_hash(script)) == 64


def test_config_hash_ignores_order_and_takes_dates() -> None:
    one = {"a": 1, "b": {"c": [1, 2], "d": date(2001, 1, 1)}}
    other = {"b": {"d": date(2001, 1, 1), "c": [1, 2]}, "a": 1}
    assert config_hash(one) == config_hash(other)
    assert config_hash(one) != config_hash({**one, "a": 2})
    with pytest.raises(TypeError, match="holds no set"):
        config_hash({"a": {1}})


def test_file_hash_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = file_hash(path)
    assert first == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert file_hash(path) != first


def test_attributes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    found = attributes({"seed": 1}, 7, [path])
    assert found["config_hash"] == config_hash({"seed": 1})
    assert found["code_version"].startswith(slams.__version__)
    assert found["seed"] == "7"
    assert json.loads(found["inputs"]) == {str(path): "7692c3ad3540bb80"}
    assert all(isinstance(value, str) for value in found.values())


def test_code_version_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slams.provenance._commit", lambda folder: "")
    assert code_version() == slams.__version__
    monkeypatch.setattr("slams.provenance._commit", lambda folder: "abc-dirty")
    assert code_version() == f"{slams.__version__}+abc-dirty"


def test_atomic_renames_when_all_went_well(tmp_path: Path) -> None:
    target = tmp_path / "new" / "result.nc"
    with atomic(target) as partial:
        assert partial.parent == target.parent
        assert partial.suffix == ".nc"
        partial.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_atomic_leaves_nothing_but_the_old_file_when_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "result.nc"
    target.write_text("old")

    def write() -> None:
        with atomic(target) as partial:
            partial.write_text("half")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_atomic_wants_something_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "result.nc"):
        pass


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.nc"
    with (
        pytest.raises(SlamsError, match=r"a\.nc could not be written: .* is full; free"),
        atomic(target),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(RuntimeError, match="HDF"), atomic(target):
        raise RuntimeError("NetCDF: HDF error")
    usage = type("Usage", (), {"free": 0})
    monkeypatch.setattr("slams.provenance.shutil.disk_usage", lambda _: usage)
    with pytest.raises(SlamsError, match="is full"), atomic(target):
        raise RuntimeError("NetCDF: HDF error")
    assert not list(tmp_path.iterdir())
