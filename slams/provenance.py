"""Where a result comes from: hashes of configuration, code and inputs; atomic writing."""

import ast
import errno
import hashlib
import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import slams
from slams.errors import SlamsError

PACKAGE = Path(slams.__file__).parent
_CHUNK = 1 << 20  # bytes
_FULL = 1 << 16  # bytes free at which a disk counts as full


def config_hash(config: Any) -> str:
    """SHA-256 of a configuration, whatever the order of its keys."""
    text = json.dumps(config, sort_keys=True, default=_as_text)
    return hashlib.sha256(text.encode()).hexdigest()


def _as_text(value: object) -> str:
    if isinstance(value, date | Path):
        return str(value)
    raise TypeError(f"a configuration holds no {type(value).__name__}: {value!r}")


def file_hash(path: Path | str) -> str:
    """SHA-256 of a file's bytes; a file that has not changed is read once a process."""
    path = Path(path).resolve()
    status = path.stat()
    return _file_hash(path, status.st_mtime_ns, status.st_size)


@cache
def _file_hash(path: Path, _modified: int, _size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def code_hash(script: Path | str, package_root: Path = PACKAGE) -> str:
    """SHA-256 of a script and of every module of the package behind it.

    An edit in a module changes the hash of the scripts that import it, at any depth, and of no
    others. It does not depend on where the files lie.
    """
    digest = hashlib.sha256(file_hash(script).encode())
    for path in code_files(Path(script), package_root):
        name = path.relative_to(package_root.resolve()).as_posix()
        digest.update(f"{name} {file_hash(path)}\n".encode())
    return digest.hexdigest()


def code_files(script: Path | str, package_root: Path = PACKAGE) -> list[Path]:
    """The files of the package that a script imports, directly or not, sorted.

    `package_root` is the package's folder. Imports count wherever they stand in a file, and a
    module brings the __init__ files of the packages above it, as it does when it is imported.
    """
    root = Path(package_root).resolve()
    found: set[Path] = set()
    pending = [Path(script).resolve()]
    while pending:
        path = pending.pop()
        for imported in _imported_files(path, root):
            if imported not in found:
                found.add(imported)
                pending.append(imported)
    return sorted(found)


def _imported_files(path: Path, root: Path) -> tuple[Path, ...]:
    """The package's files that one file's import statements name."""
    status = path.stat()
    return _looked_up(path, root, status.st_mtime_ns, status.st_size)


@cache
def _looked_up(path: Path, root: Path, _modified: int, _size: int) -> tuple[Path, ...]:
    """The same of a file as it is now: a call of snakemake asks for each some forty times."""
    package = _package_of(path, root)
    found: dict[Path, None] = {}
    for level, name in _imports(path):
        parts = name.split(".") if name else []
        if level:
            if not package:
                continue
            parts = [*package[: len(package) - level + 1], *parts]
        if parts and parts[0] == root.name:
            found |= dict.fromkeys(_module_files(parts[1:], root))
    return tuple(found)


def _package_of(path: Path, root: Path) -> tuple[str, ...]:
    """The dotted parts of the package that a file belongs to; empty for a script."""
    if not path.is_relative_to(root):
        return ()
    return (root.name, *path.relative_to(root).parent.parts)


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """The (level, dotted name) of everything that a file's import statements may load.

    `from a import b` gives a.b, which is a module or a name in one: the caller looks.
    """
    pending: list[ast.AST] = [ast.parse(path.read_bytes(), filename=str(path))]
    while pending:
        node = pending.pop()
        # Imports are statements: what is within an expression need not be looked at.
        within = (ast.stmt, ast.ExceptHandler, ast.match_case)
        pending += [child for child in ast.iter_child_nodes(node) if isinstance(child, within)]
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = f"{node.module}." if node.module else ""
            yield from ((node.level, f"{prefix}{alias.name}") for alias in node.names)


def _module_files(parts: Sequence[str], root: Path) -> Iterator[Path]:
    """The files loaded by importing the dotted parts below the package, as far as they exist."""
    folder = root
    yield from _existing(folder / "__init__.py")
    for part in parts:
        yield from _existing(folder / f"{part}.py")
        folder = folder / part
        yield from _existing(folder / "__init__.py")


def _existing(path: Path) -> list[Path]:
    return [path] if path.is_file() else []


def code_version() -> str:
    """The version of slams, with the commit where it runs from a git checkout of its own."""
    commit = _commit(PACKAGE)
    return slams.__version__ + (f"+{commit}" if commit else "")


@cache
def _commit(folder: Path) -> str:
    """The commit that a folder is checked out from ("-dirty" if edited), or nothing."""
    # An installed copy may lie inside some other project's checkout: its commit is not ours.
    tracked = _git(folder, "ls-files", "--error-unmatch", "__init__.py")
    if tracked is None:
        return ""
    return _git(folder, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*") or ""


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, or None where there is no git or no checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def attributes(
    config: Mapping[str, Any], seed: int, inputs: Sequence[Path | str]
) -> dict[str, str]:
    """The attributes that every result carries: configuration, code, seed and inputs.

    `inputs` becomes JSON, {path: the first 16 digits of its SHA-256}. Raises OSError where an
    input cannot be read.
    """
    return {
        "config_hash": config_hash(config),
        "code_version": code_version(),
        "seed": str(seed),
        "inputs": json.dumps({str(path): file_hash(path)[:16] for path in inputs}),
    }


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it if the block ends well, else removed.

    The folder is made; the ending of the name is kept, because some writers go by it. Raises
    FileNotFoundError where the block has written nothing, and SlamsError where the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A random name: after a kill -9 an orphan may still be writing beside its successor.
    partial = path.with_name(f".{path.stem}.partial-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        # The netCDF library has one message for whatever goes wrong.
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or shutil.disk_usage(path.parent).free < _FULL:
            raise SlamsError(
                f"{path} could not be written: {path.parent} is full; free some space and run again"
            ) from error
        raise
    finally:
        partial.unlink(missing_ok=True)
