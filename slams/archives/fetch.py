"""Downloads that resume, are checked, and appear under their name only when whole."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    wait_random_exponential,
)
from tqdm import tqdm

from slams.archives.transfer import (
    WORTH_RETRYING,
    Connections,
    MissingFile,
    PassingTrouble,
    RefusedFile,
    check_room,
    tag_file,
    transfer,
)
from slams.archives.turns import turn
from slams.errors import ArchiveError

__all__ = [
    "Connections",
    "MissingFile",
    "RefusedFile",
    "WrongFile",
    "check_room",
    "download",
    "download_all",
    "sha256",
]

LOG_EVERY = 30.0  # seconds between two lines of progress in a log
Arrived = Callable[[int], object]

log = logging.getLogger(__name__)


class WrongFile(ArchiveError):
    """What arrived has another length or checksum than was said."""


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    return _digest(path, "sha256")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def download(
    urls: str | Sequence[str],
    target: Path,
    *,
    size: int | None = None,
    checksum: str | None = None,
    session: Connections | None = None,
    attempts: int = 5,
    first_wait: float = 1.0,
    arrived: Arrived = lambda _: None,
) -> Path:
    """Fetch one file; return its path.

    The bytes go to `<target>.part`, which a later call continues, and are renamed to `target`
    once their length and checksum are right; processes that ask for the same target wait for one
    another. A target that is there already is returned as it is, unless `size` or `checksum` say
    that it is not the file asked for.

    urls: its address, or several that hold the same file: the next is asked where one does not
    have it, refuses, or stays in trouble. size: bytes expected; checksum: "md5:..." or
    "sha256:..." with hexadecimal digits. attempts: how often a busy server (429, 5xx), a timeout
    or a broken connection is asked until more of the file has arrived, with waits that double from
    `first_wait` seconds, or as long as the server asks (Retry-After). arrived: told the bytes of
    every piece that comes.

    Raises MissingFile when no address has the file, RefusedFile when it refuses, WrongFile when it
    sends another length or checksum, and ArchiveError when they stay busy, fail in different ways,
    or when the disk has no room.
    """
    target = Path(target)
    addresses = [urls] if isinstance(urls, str) else list(urls)
    if not addresses:
        raise ArchiveError(f"{target}: no address was given to fetch it from.")
    if _is_whole(target, size, checksum):
        return target
    with turn(target):
        if not _is_whole(target, size, checksum):
            connected = session or Connections(1)
            _fetch(addresses, target, connected, size, checksum, attempts, first_wait, arrived)
    return target


def _fetch(
    addresses: list[str],
    target: Path,
    connected: Connections,
    size: int | None,
    checksum: str | None,
    attempts: int,
    first_wait: float,
    arrived: Arrived,
) -> None:
    """Bring the whole file from the first address that gives it."""
    troubles: list[ArchiveError] = []
    for url in addresses:
        part = target.with_name(target.name + ".part")
        try:
            _fetch_part(url, part, connected, size, checksum, attempts, first_wait, arrived)
        except ArchiveError as error:
            troubles.append(error)
        else:
            part.replace(target)
            tag_file(part).unlink(missing_ok=True)
            return
    lasting = [error for error in troubles if not isinstance(error, MissingFile)]
    if len(troubles) == 1:
        raise troubles[0]
    kind = ArchiveError if lasting else MissingFile
    raise kind(" ".join(str(error) for error in lasting or troubles)) from troubles[-1]


def _fetch_part(
    url: str,
    part: Path,
    session: Connections,
    size: int | None,
    checksum: str | None,
    attempts: int,
    first_wait: float,
    arrived: Arrived,
) -> None:
    """Bring `part` to the whole file at one address, checked."""
    asked = Retrying(
        stop=_NothingNew(part, attempts),
        wait=_Waits(first_wait),
        retry=retry_if_exception_type(WORTH_RETRYING),
    )
    try:
        asked(transfer, session, url, part, size, arrived)
    except RetryError as error:
        reason = error.last_attempt.exception()
        raise ArchiveError(
            f"{url} could not be fetched in {attempts} attempts ({_plain(reason)}); "
            "what has arrived is kept, run again later to continue."
        ) from error
    except requests.RequestException as error:
        raise ArchiveError(f"{url} could not be asked for: {_plain(error)}.") from error
    if not _is_whole(part, size, checksum):
        part.unlink()
        tag_file(part).unlink(missing_ok=True)
        raise WrongFile(
            f"{url} arrived with another length or checksum than expected and was deleted; "
            "run again, and if it recurs check the expected values."
        )


class _NothingNew:
    """Ends the attempts when so many in a row have brought nothing new."""

    def __init__(self, part: Path, attempts: int) -> None:
        self._part, self._attempts = part, attempts
        self._most, self._since = self._size(), 0

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def __call__(self, state: RetryCallState) -> bool:
        size = self._size()
        if size > self._most:
            self._most, self._since = size, state.attempt_number
        return state.attempt_number - self._since >= self._attempts


class _Waits:
    """Seconds before the next attempt: doubling and random, or as long as the server asked."""

    def __init__(self, first: float) -> None:
        self._own = wait_random_exponential(multiplier=first, max=60.0 * first)

    def __call__(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.pause if isinstance(failure, PassingTrouble) else 0.0
        return max(asked, self._own(state))


def download_all(
    files: Sequence[tuple[str | Sequence[str], Path]],
    manifest: Path,
    *,
    attempts: int = 5,
    first_wait: float = 1.0,
    workers: int = 4,
    typical_size: int = 0,
) -> list[Path]:
    """Fetch many files over one pool of connections; return those there are, in the order asked.

    files: pairs of address (or several, see `download`) and target. manifest: a JSON list of
    {"file", "url"}, in which the files that no address has are recorded; entries of earlier calls
    about other files stay. workers: connections at a time. typical_size: bytes of a file, for the
    check that the disk has room for all of them before the first is asked for.

    Progress goes to a terminal as a bar, to the log as a line now and then.

    Raises ArchiveError when there is none of the files or no room, or as `download` does.
    """
    new = [job for job in files if not Path(job[1]).exists()]
    if new:
        new[0][1].parent.mkdir(parents=True, exist_ok=True)
        needed = typical_size * len(new)
        check_room(new[0][1].parent, needed, f"{len(new)} files like {new[0][1].name}")
    with (
        Connections(workers) as session,
        ThreadPoolExecutor(workers) as pool,
        _Progress(len(files), manifest.stem) as progress,
    ):

        def one(job: tuple[str | Sequence[str], Path]) -> Path | None:
            urls, target = job
            try:
                return download(
                    urls,
                    target,
                    session=session,
                    attempts=attempts,
                    first_wait=first_wait,
                    arrived=progress.arrived,
                )
            except MissingFile:
                return None
            finally:
                progress.done()

        try:
            fetched = list(pool.map(one, files))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # what runs ends; what waits is not begun
            raise
    missing = [job for job, path in zip(files, fetched, strict=True) if path is None]
    _record_missing(manifest, files, missing)
    if files and len(missing) == len(files):
        raise ArchiveError(
            f"The server has none of the {len(files)} files asked for (the first: "
            f"{_first(files[0][0])}); check the period, the stations and the base address."
        )
    return [path for path in fetched if path is not None]


class _Progress:
    """Files and bytes so far: a bar on a terminal, a line in the log now and then."""

    def __init__(self, files: int, name: str) -> None:
        self._bar = tqdm(total=files, desc=name, unit="file", disable=None, leave=False)
        self._files, self._name, self._done, self._bytes = files, name, 0, 0
        self._begin = self._told = time.monotonic()

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        self._tell()

    def arrived(self, count: int) -> None:
        """Count bytes. A lost update between threads costs a figure of a progress line only."""
        self._bytes += count
        if time.monotonic() - self._told > LOG_EVERY:
            self._tell()

    def done(self) -> None:
        """Count a file."""
        self._done += 1
        self._bar.set_postfix_str(f"{self._bytes / 1e6:.0f} MB", refresh=False)
        self._bar.update()

    def _tell(self) -> None:
        self._told = time.monotonic()
        seconds = max(self._told - self._begin, 1e-3)
        log.info(
            "%s: %d of %d files, %.1f MB fetched, %.2f MB/s",
            self._name,
            self._done,
            self._files,
            self._bytes / 1e6,
            self._bytes / 1e6 / seconds,
        )


def _first(urls: str | Sequence[str]) -> str:
    return urls if isinstance(urls, str) else urls[0]


def _record_missing(
    manifest: Path,
    asked: Sequence[tuple[str | Sequence[str], Path]],
    missing: Sequence[tuple[str | Sequence[str], Path]],
) -> None:
    names = {path.name for _, path in asked}
    known = json.loads(manifest.read_text()) if manifest.exists() else []
    kept = [entry for entry in known if entry["file"] not in names]
    entries = kept + [{"file": path.name, "url": _first(urls)} for urls, path in missing]
    manifest.parent.mkdir(parents=True, exist_ok=True)
    written = manifest.with_name(manifest.name + ".part")
    written.write_text(json.dumps(sorted(entries, key=lambda entry: entry["url"]), indent=1))
    written.replace(manifest)


def _is_whole(path: Path, size: int | None, checksum: str | None) -> bool:
    if not path.exists() or (size is not None and path.stat().st_size != size):
        return False
    if checksum is None:
        return True
    algorithm, _, digest = checksum.partition(":")
    return _digest(path, algorithm) == digest.lower()


def _plain(error: BaseException | None) -> str:
    """The innermost reason, without the wrappings of three libraries."""
    while error is not None and error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {error}" if error is not None else "no answer"
