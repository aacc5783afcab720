"""The chain from a result back to the raw files: what made each, from what, with hashes.

A result says so itself: in its attributes (netCDF), its metadata (Parquet), its card (networks,
loss curves), its description (arrays). What has no room for it, a figure, a page, a plain table, is
looked up in the record that Snakemake keeps of every output in the working directory.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from slams.errors import SlamsError
from slams.netcdf import open_dataset
from slams.provenance import file_hash

RECORDS = Path(".snakemake/metadata")  # of Snakemake, one JSON file an output
DIGITS = 16  # of a SHA-256, as `provenance.attributes` keeps them
_FACTS = ("config_hash", "code_version", "seed")


@dataclass(frozen=True)
class Record:
    """What a file says of its making.

    facts: config_hash, code_version and seed, or the rule and the hash of its code. inputs: the
    files it was made from, with the first digits of their SHA-256 when they were read, or "" where
    that was not kept.
    """

    facts: Mapping[str, str]
    inputs: Mapping[str, str] = field(default_factory=dict)


def record(path: Path | str) -> Record | None:
    """What is known of a file's making; None of a file that nothing here has made.

    Raises SlamsError where the file is not there or cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise SlamsError(f"{path}: is not there; give a file that a run has made")
    found = _told(path)
    if found is not None and "inputs" in found:
        facts = {name: str(found[name]) for name in _FACTS if name in found}
        return Record(facts, json.loads(found["inputs"]))
    return _recorded(path)


def _told(path: Path) -> Mapping[str, Any] | None:
    """The provenance attributes in a file, or in the one beside it that speaks for it."""
    readers: dict[str, Callable[[Path], Mapping[str, Any]]] = {
        ".nc": _netcdf,
        ".parquet": _parquet,
        ".json": _json,
    }
    beside = {".pt": ".json", ".csv": ".json", ".npy": ".nc"}
    if path.suffix in beside:
        path = path.with_suffix(beside[path.suffix])
    if path.suffix not in readers or not path.is_file():
        return None
    try:
        return readers[path.suffix](path)
    except (OSError, ValueError) as error:
        raise SlamsError(f"{path}: cannot be read ({error}); make it again") from error


def _netcdf(path: Path) -> Mapping[str, Any]:
    with open_dataset(path, decode_times=False) as dataset:
        return dict(dataset.attrs)


def _parquet(path: Path) -> Mapping[str, Any]:
    metadata = pq.read_schema(path).metadata or {}
    stored = {key.decode(): text.decode() for key, text in metadata.items()}
    return {**stored, **json.loads(stored.get("PANDAS_ATTRS", "{}"))}


def _json(path: Path) -> Mapping[str, Any]:
    found = json.loads(path.read_text())
    return found if isinstance(found, dict) else {}


def _recorded(path: Path) -> Record | None:
    """What Snakemake keeps of an output; the hash of the code is one of the rule's params."""
    if not RECORDS.is_dir():
        return None
    file = _record_file(Path(os.path.relpath(path)).as_posix())
    if not file.is_file():
        return None
    kept = json.loads(file.read_text())
    hashes = [text[1:-1] for text in kept["params"] if re.fullmatch(r"'[0-9a-f]{64}'", text)]
    return Record(
        {"rule": kept["rule"], "code": ", ".join(hashes)}, dict.fromkeys(kept["input"], "")
    )


def _record_file(name: str) -> Path:
    """Where the record of an output lies: its name in base64, cut where a file's name must end."""
    coded = base64.urlsafe_b64encode(name.encode()).decode()
    longest = (os.pathconf(RECORDS, "PC_NAME_MAX") or 255) - 1
    parts = [coded[at : at + longest] for at in range(0, len(coded), longest)]
    return RECORDS.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])


class Reading:
    """What has been read of files, so that several chains read each of them once."""

    def __init__(self) -> None:
        self.record = cache(record)
        self.digits = cache(lambda path: file_hash(path)[:DIGITS])


FOLD = 10  # what people are told by default: more raw files of a folder are one line
GONE, CHANGED, DAMAGED = "IS NO LONGER THERE", "CHANGED SINCE", "CANNOT BE READ"


def is_fault(line: str) -> bool:
    """Whether a line of a chain tells of a file that is not as it was."""
    return any(mark in line for mark in (GONE, CHANGED, DAMAGED))


def chain(
    path: Path | str,
    *,
    verify: bool = False,
    fold: int | None = None,
    reading: Reading | None = None,
    told: dict[str, str] | None = None,
) -> Iterator[str]:
    """The lines that tell where a file comes from: itself, then, indented, what it was made from.

    A file that was told already is not told again; ``told`` has those of other chains, and takes
    this one's. verify: read every file and say which is no longer the one that was read. Without it
    only hashes that were never kept are computed. fold: more raw files than that of one folder are
    one line, with the hash of their names and hashes, but for those that are not as they were.
    reading: of other chains, if files have not changed since.

    Raises SlamsError as `record` does, of the file itself; of others a line tells.
    """
    path, reading = os.path.relpath(path), reading or Reading()
    if reading.record(path) is None:
        raise SlamsError(
            f"{path}: says nothing of its making, and no record of Snakemake's in "
            f"{RECORDS.resolve()} does; give a result, in the folder in which it was made"
        )
    yield from _Chain(verify, fold, reading, {} if told is None else told).lines(path, "", 0)


@dataclass(frozen=True)
class _Chain:
    """How a chain is told, and what of it was told already: files with their hashes' digits."""

    verify: bool
    fold: int | None
    reading: Reading
    told: dict[str, str]

    def lines(self, path: str, kept: str, depth: int) -> Iterator[str]:
        """A file, of which digits may be known, and what it was made from."""
        indent = "  " * depth
        if path in self.told and kept in ("", self.told[path]):
            yield f"{indent}{path}  (above)"
            return
        self.told[path] = kept
        if not Path(path).exists():
            yield f"{indent}{path}  sha256 {kept or 'not kept'}  {GONE}"
            return
        try:
            known, damage = self.reading.record(path), ""
        except SlamsError:
            known, damage = None, f"  {DAMAGED}"
        if not kept and not Path(path).is_dir():
            self.told[path] = kept = self.reading.digits(path)
        yield f"{indent}{path}  {self._hash(path, kept)}{damage}{_facts(known)}"
        inputs = dict(known.inputs) if known else {}
        for folder, files in self._folded(inputs).items():
            digits = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:DIGITS]
            for name in files:
                del inputs[name]
            facts = f"{len(files)} files  sha256 of their list {digits}{_facts(None)}"
            yield f"{indent}  {folder}/  " + (
                "(above)" if self.told.get(folder) == digits else facts
            )
            self.told[folder] = digits
        for name, digits in inputs.items():
            yield from self.lines(name, digits, depth + 1)

    def _folded(self, inputs: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """The inputs that one line is enough for, and their digits, by folder."""
        folders: dict[str, dict[str, str]] = {}
        for name, digits in inputs.items():
            if self.fold is not None and (found := self._as_it_was(name, digits)):
                folders.setdefault(str(Path(name).parent), {})[name] = found
        least = self.fold or 0
        return {folder: files for folder, files in folders.items() if len(files) > least}

    def _as_it_was(self, name: str, digits: str) -> str:
        """The digits of a raw file that has not changed, as far as was looked; "" of any other."""
        path = Path(name)
        try:
            if not path.is_file() or self.reading.record(name) is not None:
                return ""
        except SlamsError:
            return ""
        now = self.reading.digits(name) if self.verify or not digits else digits
        return now if digits in ("", now) else ""

    def _hash(self, path: str, kept: str) -> str:
        if Path(path).is_dir():
            return "folder"
        if self.verify and (now := self.reading.digits(path)) != kept:
            return f"sha256 {kept}  {CHANGED}, now {now}"
        return f"sha256 {kept}"


def _facts(known: Record | None) -> str:
    if known is None:
        return "  (no result: raw, or source)"
    return "".join(f"  {name} {_short(text)}" for name, text in known.facts.items())


def _short(text: str) -> str:
    return text[:DIGITS] if re.fullmatch("[0-9a-f]{64}", text) else text
