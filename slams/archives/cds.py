"""The Climate Data Store: one request, one checked file, and errors that say what to do.

The real client (cdsapi) asks and waits; the result is downloaded by `fetch.download`, without the
key, because the client neither goes on with a broken download in a later process nor looks at the
checksum.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import requests

from slams.archives import fetch
from slams.errors import ArchiveError, SlamsError
from slams.provenance import atomic

SITE = "https://cds.climate.copernicus.eu"
CHECKSUMS = {32: "md5", 64: "sha256"}  # by hexadecimal digits

log = logging.getLogger(__name__)


class TooLarge(ArchiveError):
    """The store would answer a smaller request."""


class _Gone(Exception):
    """A job that the store has forgotten, or whose result has expired."""


def client() -> Any:
    """A `cdsapi.Client` with the user's key, from CDSAPI_URL and CDSAPI_KEY or ~/.cdsapirc.

    It polls a waiting job every 30 s at most and tries a broken connection 20 times; waiting in
    the store's queue has no limit. What it says of a job goes to the log of this module; what it
    would write for debugging, which shows the key, goes nowhere.

    Raises SlamsError when no key is configured, or none that the store could have given.
    """
    given = settings()
    import cdsapi  # noqa: PLC0415 - half a second, and not needed to read files

    def told(level: int) -> Callable[..., None]:
        return lambda message, *values, **_: log.log(
            level, "%s", _without(given["key"], str(message) % values if values else message)
        )

    return cdsapi.Client(
        url=given["url"],
        key=given["key"],
        quiet=True,
        progress=False,
        retry_max=20,
        sleep_max=30,
        info_callback=told(logging.INFO),
        warning_callback=told(logging.WARNING),
        error_callback=told(logging.ERROR),
        debug_callback=lambda *_, **__: None,
    )


def settings() -> dict[str, str]:
    """The user's url and key, read as cdsapi reads them.

    Raises SlamsError, naming the file, where there is no key or none that the store gives.
    """
    found = {"url": os.environ.get("CDSAPI_URL", ""), "key": os.environ.get("CDSAPI_KEY", "")}
    file = Path(os.environ.get("CDSAPI_RC", "~/.cdsapirc")).expanduser()
    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise SlamsError(
            f"{file} cannot be read ({type(error).__name__}); it should hold the two lines shown "
            f"on {SITE}/how-to-api."
        ) from None
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in found and not found[name.strip()]:
            found[name.strip()] = value.strip()
    if not all(found.values()):
        raise SlamsError(
            f"There is no Climate Data Store key: {file} is missing or lacks url or key. Register "
            f"at {SITE} and copy the two lines shown on {SITE}/how-to-api into {file}. Without a "
            "key, set archives.era5.source: arco, or run the demo (config/demo.yaml)."
        )
    origin = "CDSAPI_KEY" if os.environ.get("CDSAPI_KEY") else str(file)
    if ":" in found["key"]:
        raise SlamsError(
            f"The Climate Data Store key in {origin} is of the old form UID:KEY; replace it by the "
            f"token shown on {SITE}/profile."
        )
    if not re.fullmatch("[!-~]+", found["key"]):
        raise SlamsError(
            f"The Climate Data Store key in {origin} holds blanks or letters that no key has; "
            f"replace it by the token shown on {SITE}/profile."
        )
    return found


def retrieve(
    dataset: str,
    request: dict[str, Any],
    target: Path,
    store: Any,
    lacks: Callable[[Path], str | None],
) -> None:
    """Ask the store for a request of a data set; write the answer to `target` once it is whole.

    The job's id is kept in `<target>.request.json` until then, and what has arrived in
    `<target>.answer.part`: a later call of the same request, in this process or another, goes on
    waiting for the job or downloading its result. A job that the store no longer knows, or whose
    result has expired, is asked for anew, once.

    store: a `cdsapi.Client`. lacks: says what a file lacks, or None when it is whole.

    Raises ArchiveError naming the target, the reason and the remedy: a key that is not accepted,
    a licence to accept, a job that failed, no connection, an answer that is not whole; and
    TooLarge where the store would answer a smaller request. The key is never part of the message.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    answer = target.with_name(target.name + ".answer")
    asked = _fingerprint(dataset, request)
    for last in (False, True):
        try:
            with _explained(dataset, target, store):
                remote = _kept_job(target, asked, store)
                if remote is None:
                    _forget(target)
                    remote = store.client.submit(dataset, request)
                    _keep(target, asked, remote.request_id)
                _deliver(remote, target, answer)
            break
        except _Gone:
            _forget(target)
            log.warning("%s: the store no longer has the result of an earlier job", target)
            if last:
                raise ArchiveError(
                    f"{target}: the Climate Data Store's result expired twice before it was "
                    f"downloaded; see {SITE}/requests, then run again."
                ) from None
    lacking = lacks(answer)
    if lacking is not None:
        _forget(target)
        raise ArchiveError(f"{target}: the Climate Data Store's answer is not whole: {lacking}")
    answer.replace(target)
    _forget(target)


def _deliver(remote: Any, target: Path, answer: Path) -> None:
    """Wait for a job and download its result. Raises _Gone where there is none any more."""
    try:
        try:
            _download(remote.get_results(), answer)
        except fetch.WrongFile:
            log.warning("%s: the result arrived damaged, fetching it again", target)
            _download(remote.get_results(), answer)
    except fetch.MissingFile:
        raise _Gone from None
    except (fetch.WrongFile, fetch.RefusedFile) as error:
        # The same result would come again: it is let go.
        _forget(target)
        raise ArchiveError(
            f"{target}: the Climate Data Store's result cannot be had ({error}); run again to ask "
            "for a new one."
        ) from None
    except ArchiveError as error:
        raise ArchiveError(f"{target}: {error}") from None
    except requests.HTTPError as error:
        if _status(error) == requests.codes.not_found:
            raise _Gone from None
        if _status(error) == requests.codes.bad_request:
            _forget(target)
        raise
    except RuntimeError:  # failed, rejected or dismissed
        _forget(target)
        raise


def _download(result: Any, answer: Path) -> None:
    """Bring a result, with the size and checksum that the store says it has."""
    digits = str(result.asset.get("file:checksum", ""))
    algorithm = CHECKSUMS.get(len(digits))
    checksum = f"{algorithm}:{digits}" if algorithm else None
    fetch.download(result.location, answer, size=result.content_length, checksum=checksum)


def _kept_job(target: Path, asked: str, store: Any) -> Any | None:
    """The job that an earlier call left for the same request; None where there is none."""
    note = _note(target)
    try:
        kept = json.loads(note.read_text()) if note.is_file() else {}
    except ValueError:
        kept = {}
    if not isinstance(kept, dict) or kept.get("request") != asked or not kept.get("job"):
        return None
    try:
        remote = store.client.get_remote(str(kept["job"]))
    except requests.HTTPError as error:
        if _status(error) == requests.codes.not_found:
            return None
        raise
    log.info("%s: going on with job %s", target, kept["job"])
    return remote


def _keep(target: Path, asked: str, job: str) -> None:
    with atomic(_note(target)) as path:
        path.write_text(json.dumps({"job": job, "request": asked}, indent=1) + "\n")


def _note(target: Path) -> Path:
    return target.with_name(target.name + ".request.json")


def _forget(target: Path) -> None:
    """Remove the note of a job and what has arrived of its result."""
    _note(target).unlink(missing_ok=True)
    for ending in ("", ".part", ".part-tag"):
        target.with_name(f"{target.name}.answer{ending}").unlink(missing_ok=True)


def _fingerprint(dataset: str, request: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps([dataset, request], sort_keys=True).encode()).hexdigest()


def _status(error: requests.HTTPError) -> int:
    return error.response.status_code if error.response is not None else 0


@contextmanager
def _explained(dataset: str, target: Path, store: Any) -> Iterator[None]:
    """A block of calls to the client, whose failures become errors that say what to do."""
    from ecmwf.datastores.processing import LinkError  # noqa: PLC0415 - with the client

    # Without the cause: its traceback could show headers, and with them the key.
    try:
        yield
    except requests.HTTPError as error:
        _explain(error, dataset, target, store)
    except (requests.RequestException, RuntimeError, ConnectionError, TimeoutError) as error:
        raise ArchiveError(
            f"{target}: the Climate Data Store did not deliver {dataset} "
            f"({_said(error, store)}); see {SITE}/requests, then run again."
        ) from None
    except (LinkError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ArchiveError(
            f"{target}: the Climate Data Store answered in a way that its client does not "
            f"understand ({type(error).__name__}: {_said(error, store)}); run again later, and if "
            "it recurs update cdsapi."
        ) from None


def _explain(error: requests.HTTPError, dataset: str, target: Path, store: Any) -> NoReturn:
    status = _status(error)
    said = _said(error, store)
    lower = said.lower()
    kind: type[ArchiveError] = ArchiveError
    if status == 401:
        remedy = f"the key was not accepted: copy the present one from {SITE}/profile"
    elif status == 403 and ("licence" in lower or "license" in lower):
        remedy = (
            "its licence has not been accepted: log in and accept it at the end of "
            f"{SITE}/datasets/{dataset}?tab=download"
        )
    elif status in (400, 403) and ("cost limit" in lower or "too large" in lower):
        kind, remedy = TooLarge, "the request is too large: ask for fewer levels or hours"
    elif "queued requests" in lower:
        remedy = "too many requests wait: let those go first, or ask fewer at once (cds=1)"
    elif status == 400:
        remedy = f"the job failed: see {SITE}/requests, then run again to ask anew"
    elif status == 404:
        remedy = "there is no such data set: check its name"
    else:
        remedy = "run again later"
    raise kind(
        f"{target}: the Climate Data Store refused {dataset} (status {status}); {remedy}. "
        f"It said: {said}"
    ) from None


def _said(error: Exception, store: Any) -> str:
    """An error's message on one line, without the key."""
    # The key goes first: a cut could leave a part of it that nothing recognises.
    text = " ".join(_without(getattr(store, "key", None), str(error)).split())
    return text if len(text) < 600 else text[:600] + " ..."


def _without(key: str | None, text: str) -> str:
    return text.replace(key, "(key)") if key else text
