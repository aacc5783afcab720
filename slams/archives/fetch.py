"""Downloads that resume, are checked, and appear under their name only when whole."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from slams.errors import ArchiveError

BLOCK = 1 << 16  # a broken connection loses at most this much of what arrived
TIMEOUT = (20, 120)  # seconds to connect, and between two pieces of an answer


class MissingFile(ArchiveError):
    """The server has no such file (404 or 410): asking again does not help."""


class _PassingTrouble(Exception):
    """The server was busy or the answer was cut: worth asking again."""


WORTH_RETRYING = (
    _PassingTrouble,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def connections(pool: int = 8) -> requests.Session:
    """A session that keeps up to `pool` connections to a host open."""
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=pool, pool_maxsize=pool))
    return session


def download(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    session: requests.Session | None = None,
    attempts: int = 5,
    first_wait: float = 1.0,
) -> Path:
    """Fetch one file; return its path.

    The bytes go to `<target>.part`, which a later call continues where the server allows it
    (Range, with If-Range so that pieces of two versions never mix), and are renamed to `target`
    once their length and checksum are right. A target that is there already is returned as it
    is, unless `size` or `sha256` say that it is not the file asked for.

    size: bytes expected; sha256: hexadecimal; attempts: how often a busy server (429, 5xx), a
    timeout or a broken connection is asked, with waits that double from `first_wait` seconds.

    Raises MissingFile when the server has no such file, and ArchiveError when it refuses, stays
    busy, sends another length or checksum, or when the disk has no room.
    """
    target = Path(target)
    if _is_whole(target, size, sha256):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    asked = Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=first_wait, max=60.0 * first_wait),
        retry=retry_if_exception_type(WORTH_RETRYING),
    )
    try:
        asked(_transfer, session or connections(1), url, part, size)
    except RetryError as error:
        reason = error.last_attempt.exception()
        raise ArchiveError(
            f"{url} could not be fetched in {attempts} attempts ({_plain(reason)}); "
            "what has arrived is kept, run again later to continue."
        ) from error
    except requests.RequestException as error:
        raise ArchiveError(f"{url} could not be asked for: {_plain(error)}.") from error
    if not _is_whole(part, size, sha256):
        part.unlink()
        _tag_file(part).unlink(missing_ok=True)
        raise ArchiveError(
            f"{url} arrived with another length or checksum than expected and was deleted; "
            "run again, and if it recurs check the expected values."
        )
    part.replace(target)
    _tag_file(part).unlink(missing_ok=True)
    return target


def download_all(
    files: Sequence[tuple[str, Path]],
    manifest: Path,
    *,
    attempts: int = 5,
    first_wait: float = 1.0,
    workers: int = 4,
) -> list[Path]:
    """Fetch many files; return those that the server has, in the order asked.

    files: pairs of address and target. manifest: a JSON list of {"file", "url"}, in which the
    files that the server does not have are recorded; entries of earlier calls about other files
    stay.

    Raises ArchiveError when the server has none of the files, or as `download` does.
    """
    with connections(workers) as session, ThreadPoolExecutor(workers) as pool:

        def one(job: tuple[str, Path]) -> Path | None:
            try:
                return download(*job, session=session, attempts=attempts, first_wait=first_wait)
            except MissingFile:
                return None

        fetched = list(pool.map(one, files))
    missing = [job for job, path in zip(files, fetched, strict=True) if path is None]
    _record_missing(manifest, files, missing)
    if files and len(missing) == len(files):
        raise ArchiveError(
            f"The server has none of the {len(files)} files asked for (the first: {files[0][0]}); "
            "check the period, the stations and the base address."
        )
    return [path for path in fetched if path is not None]


def _record_missing(
    manifest: Path, asked: Sequence[tuple[str, Path]], missing: Sequence[tuple[str, Path]]
) -> None:
    addresses = {url for url, _ in asked}
    known = json.loads(manifest.read_text()) if manifest.exists() else []
    kept = [entry for entry in known if entry["url"] not in addresses]
    entries = kept + [{"file": path.name, "url": url} for url, path in missing]
    manifest.parent.mkdir(parents=True, exist_ok=True)
    written = manifest.with_name(manifest.name + ".part")
    written.write_text(json.dumps(sorted(entries, key=lambda entry: entry["url"]), indent=1))
    written.replace(manifest)


def _is_whole(path: Path, size: int | None, digest: str | None) -> bool:
    return (
        path.exists()
        and (size is None or path.stat().st_size == size)
        and (digest is None or sha256(path) == digest.lower())
    )


def _tag_file(part: Path) -> Path:
    """Where the version (ETag or date) of a partial file is kept between calls."""
    return part.with_name(part.name + "-tag")


def _transfer(session: requests.Session, url: str, part: Path, size: int | None) -> None:
    """One attempt: everything that `part` still lacks."""
    tag = _tag_file(part)
    # Lengths and ranges count the stored bytes only if the server does not compress the answer.
    headers = {"Accept-Encoding": "identity"}
    if part.exists() and part.stat().st_size and tag.exists():
        headers |= {"Range": f"bytes={part.stat().st_size}-", "If-Range": tag.read_text()}
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        _check_status(answer, url, part)
        resumed = answer.status_code == requests.codes.partial_content
        start = part.stat().st_size if resumed else 0
        length = answer.headers.get("Content-Length")
        whole = start + int(length) if length is not None else None
        if size is not None and whole is not None and whole != size:
            part.unlink(missing_ok=True)
            raise ArchiveError(
                f"{url} holds {whole} bytes, not the {size} expected; check the expected size."
            )
        _check_room(part, url, int(length or 0))
        _keep_tag(tag, answer)
        with part.open("ab" if resumed else "wb") as file:
            for block in answer.iter_content(BLOCK):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
    arrived = part.stat().st_size
    if whole is not None and arrived != whole:
        raise _PassingTrouble(f"{arrived} of {whole} bytes arrived")


def _check_status(answer: requests.Response, url: str, part: Path) -> None:
    status = answer.status_code
    if status in (404, 410):
        raise MissingFile(f"{url} does not exist (status {status}).")
    if status == requests.codes.range_not_satisfiable:
        part.unlink(missing_ok=True)
        raise _PassingTrouble("the partial file was longer than the server's and was deleted")
    if status == 429 or status >= 500:
        raise _PassingTrouble(f"status {status}")
    if status not in (200, 206):
        raise ArchiveError(
            f"{url} was refused with status {status} ({answer.reason}); check the address and "
            "whether the provider asks for a login."
        )


def _check_room(part: Path, url: str, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise ArchiveError(
            f"{url} needs {needed / 1e6:.0f} MB and {part.parent} has {free / 1e6:.0f} MB left; "
            "free some space or choose another folder."
        )


def _keep_tag(tag: Path, answer: requests.Response) -> None:
    version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    if version is None or version.startswith("W/"):  # weak tags may not be used with If-Range
        tag.unlink(missing_ok=True)
    else:
        tag.write_text(version)


def _plain(error: BaseException | None) -> str:
    """The innermost reason, without the wrappings of three libraries."""
    while error is not None and error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {error}" if error is not None else "no answer"
