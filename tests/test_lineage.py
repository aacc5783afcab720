"""The chain of results whose names are long: as Snakemake's records have them."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.persistence.file import FilePersistence

from slams import lineage


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
