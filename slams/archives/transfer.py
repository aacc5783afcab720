"""One attempt to fetch one file: what a partial file still lacks, and what went wrong.

The bytes go to a partial file, which a later attempt continues where the server allows it (Range,
with If-Range so that pieces of two versions never mix).
"""

import errno
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from slams.errors import ArchiveError

BLOCK = 1 << 16  # a broken connection loses at most this much of what arrived
TIMEOUT = (20, 120)  # seconds to connect, and between two pieces of an answer
SLOWEST = 1024  # bytes a second; a server slower than that for PATIENCE seconds is let go
PATIENCE = 60.0
LONGEST_PAUSE = 600.0  # seconds; a server that asks for more is busy for good


class MissingFile(ArchiveError):
    """The server has no such file (404 or 410): asking again does not help."""


class RefusedFile(ArchiveError):
    """The server will not give the file, as asked: asking in the same way does not help."""


class PassingTrouble(Exception):
    """The server was busy or the answer was cut: worth asking again.

    pause: the seconds that the server asked to be left alone, or 0.
    """

    def __init__(self, message: str, pause: float = 0.0) -> None:
        super().__init__(message)
        self.pause = pause


WORTH_RETRYING = (
    PassingTrouble,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


class Connections(requests.Session):
    """A session of at most `pool` connections to a host, which all rest when the host asks."""

    def __init__(self, pool: int = 8) -> None:
        super().__init__()
        for scheme in ("https://", "http://"):
            self.mount(scheme, HTTPAdapter(pool_connections=pool, pool_maxsize=pool))
        self._lock = threading.Lock()
        self._not_before = 0.0

    def rest(self, seconds: float) -> None:
        """Let no request begin for so many seconds."""
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + seconds)

    def wait(self) -> None:
        """Return when a request may begin."""
        while (left := self._not_before - time.monotonic()) > 0.0:
            time.sleep(min(left, 1.0))


def tag_file(part: Path) -> Path:
    """Where the version (ETag or date) of a partial file is kept between calls."""
    return part.with_name(part.name + "-tag")


def transfer(
    session: Connections,
    url: str,
    part: Path,
    size: int | None,
    arrived: Callable[[int], object] = lambda _: None,
) -> None:
    """Fetch everything that `part` still lacks of the file at an address.

    size: bytes that the whole file must have, or None. arrived: told of every piece's bytes.

    Raises PassingTrouble or a requests exception where asking again may help; MissingFile, and
    ArchiveError where it does not: a refusal, another size, no room on the disk.
    """
    tag = tag_file(part)
    # Lengths and ranges count the stored bytes only if the server does not compress the answer.
    headers = {"Accept-Encoding": "identity"}
    if part.exists() and part.stat().st_size and tag.exists():
        headers |= {"Range": f"bytes={part.stat().st_size}-", "If-Range": tag.read_text()}
    session.wait()
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        _check_status(session, answer, url, part)
        resumed = answer.status_code == requests.codes.partial_content
        start = part.stat().st_size if resumed else 0
        length = answer.headers.get("Content-Length")
        whole = start + int(length) if length is not None else None
        if resumed:
            whole = _whole_of(answer, start, whole, part)
        else:
            # Before the tag of another version: what is there belongs to the old one.
            part.unlink(missing_ok=True)
        if size is not None and whole is not None and whole != size:
            part.unlink(missing_ok=True)
            raise ArchiveError(
                f"{url} holds {whole} bytes, not the {size} expected; check the expected size."
            )
        check_room(part.parent, int(length or 0), url)
        _keep_tag(tag, answer)
        with _on_disk(part), part.open("ab" if resumed else "wb") as file:
            for block in _pieces(answer):
                file.write(block)
                arrived(len(block))
            file.flush()
            os.fsync(file.fileno())
    there = part.stat().st_size
    if whole is not None and there != whole:
        raise PassingTrouble(f"{there} of {whole} bytes arrived")


def _whole_of(answer: requests.Response, start: int, whole: int | None, part: Path) -> int | None:
    """The length of a file of which a part was asked for, from `start` on.

    Raises PassingTrouble, and deletes the part, where another part came: they would not fit.
    """
    said = answer.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", said.strip())
    if found is None or int(found[1]) != start:
        part.unlink()
        raise PassingTrouble(f"asked for bytes from {start} on, the server sent {said or 'others'}")
    return whole if found[2] == "*" else int(found[2])


@contextmanager
def _on_disk(part: Path) -> Iterator[None]:
    """A block that writes to a file; a full disk becomes an ArchiveError that says so.

    Failures of the connection are told as they are.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ArchiveError(
            f"{part} could not be written: {part.parent} is full. Free some space and run again; "
            "what has arrived is kept."
        ) from error


def _pieces(answer: requests.Response) -> Iterator[bytes]:
    """The answer as it arrives. Raises PassingTrouble where next to nothing does."""
    begin, since = time.monotonic(), 0
    try:
        # What has arrived, be it less than a block: a server that drips would never fill one.
        while block := answer.raw.read1(BLOCK, decode_content=False):
            yield block
            since += len(block)
            passed = time.monotonic() - begin
            if passed >= PATIENCE:
                if since < SLOWEST * passed:
                    raise PassingTrouble(f"only {since} bytes arrived in {passed:.0f} s")
                begin, since = time.monotonic(), 0
    except OSError as error:  # of the socket, which urllib3 names in many ways
        raise PassingTrouble(f"the connection broke ({error})") from error
    except HTTPError as error:
        raise PassingTrouble(f"the answer was cut ({error})") from error


def _check_status(session: Connections, answer: requests.Response, url: str, part: Path) -> None:
    status = answer.status_code
    if status in (404, 410):
        raise MissingFile(f"{url} does not exist (status {status}).")
    if status == requests.codes.range_not_satisfiable:
        part.unlink(missing_ok=True)
        raise PassingTrouble("the partial file was longer than the server's and was deleted")
    if status == 429 or status >= 500:
        pause = _retry_after(answer)
        if pause > LONGEST_PAUSE:
            raise ArchiveError(
                f"{url}: the server asks to be left alone for {pause:.0f} s (status {status}); "
                "run again then, what has arrived is kept."
            )
        session.rest(pause)
        raise PassingTrouble(f"status {status}", pause)
    if status not in (200, 206):
        raise RefusedFile(
            f"{url} was refused with status {status} ({answer.reason}); check the address and "
            "whether the provider asks for a login."
        )


def _retry_after(answer: requests.Response) -> float:
    """Seconds that the server asks to be left alone: a number, or a date (RFC 9110, 10.2.3)."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:  # none, or nothing that says when
        return 0.0
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raise ArchiveError where a folder's disk has less room left than needed bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ArchiveError(
            f"{what} needs {needed / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB left; "
            "free some space or choose another folder."
        )


def _keep_tag(tag: Path, answer: requests.Response) -> None:
    version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    if version is None or version.startswith("W/"):  # weak tags may not be used with If-Range
        tag.unlink(missing_ok=True)
    else:
        tag.write_text(version)
