"""Snakemake as a user calls it, in a working copy of the repository that a test may break."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "config", "workflow", "slams", "benchmarks", "profiles", "environment.yml")
TINY = "config/tiny.yaml"
LIMIT = 900  # seconds a call may take on busy cores


@dataclass(frozen=True)
class Call:
    """A call that is over: its exit status, and all that it said."""

    status: int
    text: str

    @property
    def plan(self) -> dict[str, int]:
        """How many jobs of each rule were to be run, from Snakemake's table."""
        table = re.search(r"^job +count\n[- ]+\n(.*?)^total ", self.text, re.M | re.S)
        if table is None:
            assert "Nothing to be done" in self.text, self.text
            return {}
        rows = (line.split() for line in table[1].splitlines())
        return {rule: int(count) for rule, count in rows if rule != "all"}

    @property
    def last(self) -> str:
        """What stands below Snakemake's list of jobs and their failures."""
        return self.text.rpartition("Exiting because a job execution failed")[2]


@dataclass(frozen=True)
class Copy:
    """A working copy of the repository, and calls of snakemake in it."""

    folder: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def command(
        self, *arguments: str, config: str = TINY, keys: dict[str, Any] | None = None
    ) -> list[str]:
        """A call; ``keys`` go over those of ``config``. Targets go first in ``arguments``."""
        files = [config]
        if keys is not None:
            files.append("keys.yaml")
            (self / "keys.yaml").write_text(yaml.safe_dump(keys))
        call = [sys.executable, "-m", "snakemake", *arguments]
        return [*call, "--cores", "2", "--configfile", *files]

    @property
    def environment(self) -> dict[str, str]:
        """The copy's own slams, and no key of the one who runs the tests."""
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return kept | {"PYTHONPATH": str(self.folder), "CDSAPI_RC": str(self / "no-key")}

    def snakemake(
        self, *arguments: str, config: str = TINY, keys: dict[str, Any] | None = None
    ) -> Call:
        """Call and wait for the end."""
        done = subprocess.run(
            self.command(*arguments, config=config, keys=keys),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        return Call(done.returncode, done.stdout)

    def start(self, *arguments: str, keys: dict[str, Any]) -> subprocess.Popen[bytes]:
        """Call and do not wait; ``said`` gives what it has said."""
        with (self / "said.txt").open("wb") as file:
            return subprocess.Popen(
                self.command(*arguments, keys=keys),
                cwd=self.folder,
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        """What the last call that was started has said so far."""
        return (self / "said.txt").read_text()

    def plan(self, *targets: str, **options: Any) -> dict[str, int]:
        """The jobs of a dry run."""
        call = self.snakemake(*targets, "--dry-run", **options)
        assert call.status == 0, call.text
        return call.plan

    def edit(self, *names: str) -> None:
        """Change a source file without changing what it does."""
        for name in names:
            comment = "<!-- edited -->" if name.endswith(".html") else "# edited"
            with (self / name).open("a") as file:
                file.write(f"{comment}\n")

    def duplicate(self, target: Path) -> "Copy":
        """A copy of the copy, with all that was made in it."""
        return _copied(self.folder.iterdir(), target)


def _copied(parts: Iterable[Path], target: Path) -> Copy:
    """Copy files and folders as `cp -a` does: Snakemake goes by the times of files."""
    target.mkdir(parents=True)
    for part in parts:
        if part.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(part, target / part.name, ignore=ignore, symlinks=True)
        else:
            shutil.copy2(part, target / part.name)
    return Copy(target)


def checkout(target: Path) -> Copy:
    """A copy of the repository as it is, with nothing made yet."""
    return _copied((REPOSITORY / name for name in PARTS), target)


def jobs(copy: Copy) -> list[int]:
    """The processes of scripts that run in a copy."""
    scripts = str(copy / ".snakemake/scripts")
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            program, *arguments = path.read_text().split("\0")
        except (OSError, ValueError):
            continue  # it has just ended
        if "python" in program and any(text.startswith(scripts) for text in arguments):
            found.append(int(path.parent.name))
    return found


def wait(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
