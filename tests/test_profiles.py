"""The profiles: every rule stands in the one table of SLURM's, and what comes of the table."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
import yte

NAMES = ("SLAMS_ACCOUNT", "SLAMS_PARTITION", "SLAMS_GPU_PARTITION")


@pytest.fixture
def rules(repository: Path) -> dict[str, str]:
    """The text of every rule that makes something, by name."""
    found: dict[str, str] = {}
    for path in (repository / "workflow/rules").glob("*.smk"):
        pieces = re.split(r"^rule (\w+):", path.read_text(), flags=re.MULTILINE)
        found |= dict(zip(pieces[1::2], pieces[2::2], strict=True))
        # Of a cell alone; those of several cells ask for what it does.
        of_cells = re.split(r'name:\s+f"(\w+)\{batch\.ending\}"', path.read_text())
        for name, text in zip(of_cells[1::2], of_cells[2::2], strict=True):
            found[name] = text.partition("    rule:")[0]
            assert f'batch.group("{name}")' in found[name]
            assert re.search(rf'\*\*batch\.asks\(\s*"{name}"', found[name])
    assert {"assimilate_cell", "verify_cell", "train_prior"} < set(found)
    return found


def read(repository: Path, name: str) -> dict[str, Any]:
    """A profile as Snakemake reads it."""
    with (repository / f"profiles/{name}/config.yaml").open() as file:
        found: dict[str, Any] = yte.process_yaml(file, require_use_yte=True)
    return found


@pytest.fixture
def slurm(repository: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return read(repository, "slurm")


def test_every_rule_stands_in_the_table(rules: dict[str, str], slurm: dict[str, Any]) -> None:
    assert set(slurm["set-resources"]) == set(rules)
    for asked in slurm["set-resources"].values():
        assert asked["mem_mb"] >= 1000 and asked["runtime"] >= 1


def test_a_gpu_for_the_rules_that_take_one(rules: dict[str, str], slurm: dict[str, Any]) -> None:
    with_gpu = {name for name, text in rules.items() if re.search(r"\bgpu=1\b", text)}
    asking = {name for name, asked in slurm["set-resources"].items() if "gpu" in asked}
    assert with_gpu and asking == with_gpu
    # Trainings say themselves how many (trainer.devices). Without tasks=0 the plugin may start a
    # script once a GPU.
    say = r"\bgpu=|\*\*training_resources\(\)"
    several = {name for name, text in rules.items() if re.search(say, text)}
    alone = {name for name, asked in slurm["set-resources"].items() if asked.get("tasks") == 0}
    assert with_gpu < several and alone == several


def test_no_job_asks_for_more_than_a_group_may(slurm: dict[str, Any]) -> None:
    # Snakemake refuses a group with a job above this limit.
    largest = max(asked["mem_mb"] for asked in slurm["set-resources"].values())
    assert largest <= slurm["resources"]["mem_mb"]


def test_without_names_the_cluster_decides(slurm: dict[str, Any]) -> None:
    assert slurm["slurm-no-account"] is True
    text = yaml.safe_dump(slurm)
    assert "slurm_account" not in text and "slurm_partition" not in text


def test_the_names_of_a_cluster(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(NAMES, ("climate", "short", "a100"), strict=True):
        monkeypatch.setenv(name, value)
    profile = read(repository, "slurm")
    assert "slurm-no-account" not in profile
    assert profile["default-resources"]["slurm_account"] == "climate"
    assert profile["default-resources"]["slurm_partition"] == "short"
    asked = profile["set-resources"]
    assert asked["train_prior"]["slurm_partition"] == "a100"
    assert "slurm_partition" not in asked["build_store"]
    # A group is one SLURM job, and that has one partition.
    for group in set(profile["groups"].values()):
        members = [rule for rule, of in profile["groups"].items() if of == group]
        assert len({asked[rule].get("slurm_partition") for rule in members}) == 1


def test_a_change_for_one_call(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    before = read(repository, "slurm")
    monkeypatch.setenv(
        "SLAMS_SET",
        "train_prior:runtime=2880 train_prior:slurm_extra=--qos=long build_store:mem_mb=9",
    )
    monkeypatch.setenv("SLAMS_TMPDIR", "/scratch/me")
    after = read(repository, "slurm")
    expected = before["set-resources"]
    expected["train_prior"] |= {"runtime": 2880, "slurm_extra": "--qos=long"}
    expected["build_store"]["mem_mb"] = 9
    assert after["set-resources"] == expected
    assert after["default-resources"] == before["default-resources"] | {"tmpdir": "/scratch/me"}


@pytest.mark.parametrize("name", ["default", "gpu"])
def test_profiles_of_one_machine(repository: Path, name: str) -> None:
    profile = read(repository, name)
    assert profile["rerun-incomplete"] is True
    assert name == "default" or profile["resources"]["gpu"] == 1
