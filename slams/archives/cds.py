"""The Climate Data Store: one request, one checked file, and errors that say what to do."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Protocol

import requests

from slams.errors import ArchiveError, SlamsError

SITE = "https://cds.climate.copernicus.eu"


class Client(Protocol):
    """What is used of `cdsapi.Client`."""

    def retrieve(self, name: str, request: dict[str, Any], target: str) -> Any:
        """Ask for a data set, wait, and download the result to `target`."""


def client() -> Client:
    """A client of the store with the user's key, from CDSAPI_URL and CDSAPI_KEY or ~/.cdsapirc.

    It polls a waiting job every 30 s at most and tries a broken connection 20 times; waiting in
    the store's queue has no limit.

    Raises SlamsError when no key is configured, or one of the store before autumn 2024.
    """
    settings = _settings()
    if ":" in settings["key"]:
        raise SlamsError(
            f"The Climate Data Store key in {settings['origin']} is of the old form UID:KEY; "
            f"replace it by the token shown on {SITE}/profile."
        )
    import cdsapi  # noqa: PLC0415 - half a second, and not needed to read files

    made: Client = cdsapi.Client(
        url=settings["url"],
        key=settings["key"],
        quiet=True,
        progress=False,
        retry_max=20,
        sleep_max=30,
    )
    return made


def _settings() -> dict[str, str]:
    """url, key and their origin, read as cdsapi reads them."""
    found = {"url": os.environ.get("CDSAPI_URL", ""), "key": os.environ.get("CDSAPI_KEY", "")}
    file = Path(os.environ.get("CDSAPI_RC", "~/.cdsapirc")).expanduser()
    if file.is_file():
        for line in file.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in found and not found[name.strip()]:
                found[name.strip()] = value.strip()
    if not all(found.values()):
        raise SlamsError(
            f"There is no Climate Data Store key: {file} is missing or lacks url or key. Register "
            f"at {SITE}, copy the two lines shown on {SITE}/how-to-api into {file}, or run the "
            "demo (config/demo.yaml), which needs no key."
        )
    origin = "CDSAPI_KEY" if os.environ.get("CDSAPI_KEY") else str(file)
    return {**found, "origin": origin}


def retrieve(
    dataset: str,
    request: dict[str, Any],
    target: Path,
    store: Client,
    lacks: Callable[[Path], str | None],
) -> None:
    """Ask the store for a request of a data set; write the answer to `target` once it is whole.

    lacks: says what a file lacks, or None when it is whole.

    Raises ArchiveError naming the target, the reason and the remedy: a key that is not accepted,
    a licence to accept, a request that is too large, a job that failed, no connection, an answer
    that is not whole. The key is never part of the message.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        store.retrieve(dataset, request, str(part))
        lacking = lacks(part)
        if lacking is not None:
            raise ArchiveError(f"{target}: the Climate Data Store's answer is not whole: {lacking}")
        part.replace(target)
    except requests.HTTPError as error:
        _explain(error, dataset, target, store)
    except (requests.RequestException, RuntimeError, OSError) as error:
        raise ArchiveError(
            f"{target}: the Climate Data Store did not deliver {dataset} "
            f"({_without_key(error, store)}); see {SITE}/requests, then run again."
        ) from None
    finally:
        part.unlink(missing_ok=True)


def _explain(error: requests.HTTPError, dataset: str, target: Path, store: Client) -> NoReturn:
    status = error.response.status_code if error.response is not None else 0
    said = _without_key(error, store)
    lower = said.lower()
    if status == 401:
        remedy = f"the key was not accepted: copy the present one from {SITE}/profile"
    elif status == 403 and ("licence" in lower or "license" in lower):
        remedy = (
            "its licence has not been accepted: log in and accept it at the end of "
            f"{SITE}/datasets/{dataset}?tab=download"
        )
    elif status == 403 and ("cost" in lower or "too large" in lower):
        remedy = "the request is too large: ask for fewer levels, hours or a wider spacing"
    elif status == 404:
        remedy = "there is no such data set or its result has expired: check the name, run again"
    elif status == 400:
        remedy = f"the job failed: check the request and {SITE}/requests, then run again"
    else:
        remedy = "run again later"
    # Without the cause: its traceback could show headers, and with them the key.
    raise ArchiveError(
        f"{target}: the Climate Data Store refused {dataset} (status {status}); {remedy}. "
        f"It said: {said}"
    ) from None


def _without_key(error: Exception, store: Client) -> str:
    key = getattr(store, "key", None)
    said = " ".join(str(error).split())
    return said.replace(key, "(key)") if key else said
