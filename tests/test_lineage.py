"""The chain of results whose names are long: as Snakemake's records have them."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.persistence.file import FilePersistence

from slams import lineage
from slams.provenance import file_hash


def record_of(name: str) -> Path:
    """Where Snakemake itself keeps the record of an output."""
    store = SimpleNamespace(_fetch_max_len=lambda folder: os.pathconf(folder, "PC_NAME_MAX"))
    return Path(FilePersistence._record_path(store, str(lineage.RECORDS), name))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lineage.RECORDS.mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("letters", [5, 150, 191, 192, 195, 240])
def test_a_record_is_found_whatever_the_length_of_the_name(folder: Path, letters: int) -> None:
    name = f"results/{'x' * letters}/losses.png"
    for file, text in ((Path(name), "figure"), (Path("raw.bin"), "raw")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    kept = {"rule": "draw_losses", "params": [f"'{'a' * 64}'"], "input": ["raw.bin"]}
    where = record_of(name)
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_text(json.dumps(kept))
    first, second = lineage.chain(name)
    assert first.startswith(f"{name}  sha256 ") and first.endswith(f"  code {'a' * 16}")
    assert second.endswith("  (no result: raw, or source)")


def test_a_raw_file_of_a_long_name_has_no_record(folder: Path) -> None:
    path = Path("raw", "y" * 250)
    path.parent.mkdir()
    path.write_text("raw")
    assert lineage.record(path) is None


def result(name: str, inputs: list[str]) -> None:
    """A result that says what it was made from."""
    kept = {path: file_hash(path)[: lineage.DIGITS] for path in inputs}
    Path(name).write_text(json.dumps({"config_hash": "c", "inputs": json.dumps(kept)}))


@pytest.fixture
def inventory(folder: Path) -> list[str]:
    """The raw files of a result, inventory.json: many of one folder, one of another."""
    names = [f"raw/{number}.bin" for number in range(20)] + ["list.bin"]
    Path("raw").mkdir()
    for name in names:
        Path(name).write_text(name)
    result("inventory.json", names)
    return names


def test_many_raw_files_are_one_line(inventory: list[str]) -> None:
    first, *others = lineage.chain("inventory.json", fold=5)
    assert first.startswith("inventory.json  sha256 ")
    assert [line.split()[0] for line in others] == ["raw/", "list.bin"]
    assert "20 files  sha256 of their list " in others[0]
    Path(inventory[3]).write_text("another")
    result("other.json", inventory)
    assert next(line for line in lineage.chain("other.json", fold=5) if "raw/" in line) != others[0]
    assert len(list(lineage.chain("inventory.json"))) == len(inventory) + 1


def test_a_file_that_is_not_as_it_was_has_its_own_line(inventory: list[str]) -> None:
    Path(inventory[3]).write_text("another")
    Path(inventory[4]).unlink()
    lines = list(lineage.chain("inventory.json", fold=5, verify=True))
    faults = [line.split()[0] for line in lines if lineage.is_fault(line)]
    assert faults == inventory[3:5]
    assert any("18 files" in line for line in lines)


def test_a_damaged_file_is_told_in_the_chain(folder: Path) -> None:
    Path("raw.nc").write_bytes(b"CDF no more")
    result("fields.json", ["raw.nc"])
    lines = list(lineage.chain("fields.json", fold=5, verify=True))
    assert [line for line in lines if lineage.DAMAGED in line] == lines[1:]
    assert lines[1].split()[0] == "raw.nc"


def test_chains_that_share_what_was_told(inventory: list[str]) -> None:
    told: dict[str, str] = {}
    result("other.json", ["inventory.json"])
    first = list(lineage.chain("inventory.json", fold=5, told=told))
    second = list(lineage.chain("other.json", fold=5, told=told))
    assert len(first) == 3 and second[1:] == ["  inventory.json  (above)"]
