"""Cells that share a process: what each has of a rule's files, and results that outlive a kill.

A rule makes one cell, or all that an arm has along an axis, which then load torch and the prior
once. Snakemake removes every output of a job that failed or was killed, and those of a job that is
about to run: what was finished is kept under a second name and taken from there when the job
starts again.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from slams.errors import SlamsError
from slams.provenance import atomic, file_hash

log = logging.getLogger(__name__)

OF_EACH = ("analysis", "classical", "persistence")  # inputs of which every cell has its own


@dataclass(frozen=True)
class Cell:
    """One cell of a job: its ``axis`` and ``value``, the ``output`` and its own inputs.

    ``given`` has them by name, as the rule's ``input`` would if it made this cell alone;
    ``inputs`` are all of them but arrays, which their descriptions name.
    """

    axis: str
    value: str
    output: Path
    given: SimpleNamespace
    inputs: list[str]
    kept: Path
    alone: bool

    @contextmanager
    def named(self) -> Iterator[None]:
        """The frame around a cell's work: of several, log and errors say which one it is."""
        if self.alone:
            yield
            return
        log.info("cell %s-%s", self.axis, self.value)
        try:
            yield
        except SlamsError as error:
            raise SlamsError(f"cell {self.axis}-{self.value}: {error}") from error

    def restore(self) -> bool:
        """Take the result of an earlier run of this job, of the same code, inputs and settings.

        False where there is none, and where the rule makes one cell alone: that was asked for.
        """
        if self.alone or not self.kept.exists():
            return False
        with atomic(self.output) as path:
            os.link(self.kept, path)
        log.info("%s: finished by a run before", self.output)
        return True

    def keep(self) -> None:
        """Keep the result, which has been written whole, where other cells have yet to be made.

        Older ones of the cell are removed. A rule of one cell needs none.
        """
        for older in self.output.parent.glob(f".{self.output.stem}.kept-*"):
            older.unlink()
        if self.alone:
            return
        try:
            os.link(self.output, self.kept)
        except OSError as error:
            log.info(
                "%s is lost if this job is killed: it has no second name (%s)", self.output, error
            )


def cells_of(rule: Any) -> Iterator[Cell]:
    """The cells that a job makes that are not yet there, in the order of the rule's outputs.

    ``rule`` is what Snakemake gives a script. An output lies in a folder axis-value; of the inputs
    OF_EACH there is one a cell, in the same order. What was kept by an earlier run is restored.
    """
    for number, output in enumerate(map(Path, rule.output)):
        axis, _, value = output.parent.name.rpartition("-")
        given = {name: _of_cell(name, found, number) for name, found in rule.input.items()}
        paths = [
            p for found in given.values() for p in ([found] if isinstance(found, str) else found)
        ]
        key = _key(rule, axis, value, paths, {given[name] for name in OF_EACH if name in given})
        cell = Cell(
            axis,
            value,
            output,
            SimpleNamespace(**given),
            [path for path in paths if not path.endswith(".npy")],
            output.with_name(f".{output.stem}.kept-{key}{output.suffix}"),
            alone="axis" in dict(rule.wildcards.items()),
        )
        if not cell.restore():
            yield cell


def _of_cell(name: str, found: Any, number: int) -> str | list[str]:
    if name in OF_EACH:
        return str(found if isinstance(found, str) else found[number])
    return found if isinstance(found, str) else list(found)


def _key(rule: Any, axis: str, value: str, paths: list[str], own: set[Any]) -> str:
    """Digits that another code, setting or input changes.

    An input is known by time and size; what is the cell's own by its content, since Snakemake gives
    a new time to what was restored.
    """
    files: list[tuple[str, ...]] = []
    for path in paths:
        if path in own:
            files.append((path, file_hash(path)))
        else:
            status = Path(path).stat()
            files.append((path, str(status.st_mtime_ns), str(status.st_size)))
    others = {k: v for k, v in rule.wildcards.items() if k not in ("axis", "value")}
    known = [axis, value, others, dict(rule.params.items()), files]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]
