"""The pins: requirements.txt is the source, environment.yml agrees, every import is listed."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
import yaml

# Where conda's name differs from the Python Package Index's.
CONDA_NAMES = {
    "dask": "dask-core",
    "eccodes": "python-eccodes",
    "matplotlib": "matplotlib-base",
    "snakemake": "snakemake-minimal",
    "torch": "pytorch",
}
NOT_PINNED = {"pip", "python"}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins(lines: list[str]) -> dict[str, str]:
    """The versions by name of lines such as `name==1.2` or `name ==1.2`."""
    found = {}
    for line in lines:
        name, _, pin = line.partition("==")
        assert pin, f"{line} has no exact version"
        found[_canonical(name.strip())] = pin.strip()
    return found


@pytest.fixture
def required(repository: Path) -> dict[str, str]:
    lines = (repository / "requirements.txt").read_text().splitlines()
    return _pins([line for line in lines if line and not line.startswith("#")])


def test_conda_has_the_same_versions(repository: Path, required: dict[str, str]) -> None:
    environment = yaml.safe_load((repository / "environment.yml").read_text())
    assert environment["name"] == "slams"
    lines: list[str] = []
    for entry in environment["dependencies"]:
        lines += entry["pip"] if isinstance(entry, dict) else [entry]
    pinned = [line for line in lines if line.split()[0] not in NOT_PINNED]
    assert _pins(pinned) == {CONDA_NAMES.get(name, name): pin for name, pin in required.items()}


def test_conda_has_a_python_that_the_project_takes(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((repository / "environment.yml").read_text())
    python = next(line for line in environment["dependencies"] if str(line).startswith("python "))
    assert project["requires-python"] in python


def test_these_tests_run_with_the_pinned_versions(required: dict[str, str]) -> None:
    other = {
        name: version(name)
        for name, pin in required.items()
        if version(name).partition("+")[0] != pin
    }
    assert not other, f"not as requirements.txt says (make env mends it): {other}"


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_every_import_is_required(repository: Path, required: dict[str, str]) -> None:
    lines = (repository / "requirements-nodeps.txt").read_text().splitlines()
    without = _pins([line for line in lines if line and not line.startswith("#")])
    files = [
        path
        for folder in ("slams", "workflow", "tests", "benchmarks")
        for path in (repository / folder).rglob("*.py")
    ]
    distributions = packages_distributions()
    missing = {}
    tests = repository / "tests"
    own = {"slams"} | {path.stem for path in tests.rglob("*") if path.is_dir() or path in files}
    own |= {path.stem for path in (repository / "benchmarks").glob("*.py")}
    for path in files:
        for name in _imported(path) - set(sys.stdlib_module_names) - own:
            owners = {_canonical(owner) for owner in distributions.get(name, [name])}
            if not owners & (set(required) | set(without)):
                missing[name] = path.relative_to(repository).as_posix()
    assert not missing, f"imported, but not in requirements.txt: {missing}"
