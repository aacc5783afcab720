"""A public Zarr read over HTTP(S), without an account: bounded retries, errors that help."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
import numpy as np
import xarray as xr
from fsspec.implementations.http import HTTPFileSystem
from numpy.typing import NDArray
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)
from zarr.storage import FsspecStore

from slams.archives.netcdf import READ_ERRORS
from slams.errors import ArchiveError

TIMEOUT = aiohttp.ClientTimeout(total=900, sock_connect=20, sock_read=120)  # seconds
Result = TypeVar("Result")


@dataclass(frozen=True)
class Archive:
    """An open Zarr: `dataset` with its coordinates in memory, its variables unread."""

    address: str
    dataset: xr.Dataset
    attempts: int
    first_wait: float

    def variable(self, name: str) -> xr.DataArray:
        """A variable, unread. Raises ArchiveError where there is none of that name."""
        if name not in self.dataset:
            raise ArchiveError(
                f"{self.address} has no variable {name} on time, level, latitude, longitude; set "
                "archives.era5.address to ERA5 in the form of ARCO ERA5 or WeatherBench2."
            )
        return self.dataset[name]

    def values(self, field: xr.DataArray) -> NDArray[np.floating]:
        """The values of a selection of a variable. Raises ArchiveError where they do not come."""
        return _asked(lambda: field.values, self.address, self.attempts, self.first_wait)

    def place(self, moment: np.datetime64) -> int:
        """Where a time lies. Raises ArchiveError where the archive does not hold it.

        The time axis of ARCO ERA5 goes on after its data, which the attribute valid_time_stop
        (final) or valid_time_stop_era5t (preliminary) ends.
        """
        moments = self.dataset["time"].values
        attributes = self.dataset.attrs
        place = int(np.searchsorted(moments, moment))
        stop = attributes.get("valid_time_stop_era5t", attributes.get("valid_time_stop"))
        begin = attributes.get("valid_time_start")
        held = place < moments.size and moments[place] == moment
        if not held or not _day(begin, moment) <= moment.astype("M8[D]") <= _day(stop, moment):
            first = begin or np.datetime_as_string(moments[0], unit="h")
            last = stop or np.datetime_as_string(moments[-1], unit="h")
            raise ArchiveError(
                f"{self.address} lacks {np.datetime_as_string(moment, unit='h')}; it holds {first} "
                f"to {last}: change the periods or time.hours, or take another "
                "archives.era5.address."
            )
        return place

    def is_preliminary(self, moment: np.datetime64) -> bool:
        """Whether a time is later than the archive's final data."""
        stop = self.dataset.attrs.get("valid_time_stop")
        return bool(moment.astype("M8[D]") > _day(stop, moment))


def _day(text: str | None, otherwise: np.datetime64) -> np.datetime64:
    return otherwise.astype("M8[D]") if text is None else np.datetime64(text, "D")


@contextmanager
def opened(address: str, attempts: int = 5, first_wait: float = 1.0) -> Iterator[Archive]:
    """The Zarr (v2 or v3, with consolidated metadata) at an address.

    attempts: how often a server in trouble (429, 5xx, a broken connection) is asked, with waits
    that double from `first_wait` seconds. Raises ArchiveError where there is no such Zarr.
    """

    def look(files: HTTPFileSystem) -> xr.Dataset:
        store = FsspecStore(files, path=address, read_only=True)
        dataset = xr.open_zarr(store, chunks=None, consolidated=True, decode_timedelta=False)
        for name in ("time", "level", "latitude", "longitude"):
            if name in dataset.coords:
                dataset[name].load()
        return dataset

    with _connections() as files:
        dataset = _asked(lambda: look(files), address, attempts, first_wait)
        lacking = {"time", "level", "latitude", "longitude"} - set(dataset.coords)
        if lacking or dataset["time"].dtype.kind != "M":
            raise ArchiveError(
                f"{address} is a Zarr, but has no axis {', '.join(sorted(lacking)) or 'of dates'}; "
                "set archives.era5.address to ERA5 in the form of ARCO ERA5 or WeatherBench2."
            )
        with dataset:
            yield Archive(address, dataset, attempts, first_wait)


@contextmanager
def _connections() -> Iterator[HTTPFileSystem]:
    """Files over HTTP, whose connections are closed in the end."""
    made: list[tuple[aiohttp.ClientSession, asyncio.AbstractEventLoop]] = []

    async def client(**_: object) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(timeout=TIMEOUT, trust_env=True)
        made.append((session, asyncio.get_running_loop()))
        return session

    try:
        yield HTTPFileSystem(asynchronous=True, get_client=client, skip_instance_cache=True)
    finally:
        for session, loop in made:
            asyncio.run_coroutine_threadsafe(session.close(), loop).result(10)


def _asked(what: Callable[[], Result], address: str, attempts: int, first_wait: float) -> Result:
    """The result of a call that goes over the network, repeated while that may help."""
    asking = Retrying(
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=first_wait, max=60.0 * first_wait),
        retry=retry_if_exception(_may_pass),
    )
    try:
        return asking(what)
    except RetryError as error:
        reason = error.last_attempt.exception()
        raise ArchiveError(
            f"{address} could not be read in {attempts} attempts "
            f"({type(reason).__name__}: {reason}); what has arrived is kept, run again later to "
            "continue."
        ) from error
    except aiohttp.ClientResponseError as error:
        raise ArchiveError(
            f"{address} was refused with status {error.status} ({error.message}); check "
            "archives.era5.address, which must be public."
        ) from error
    except FileNotFoundError as error:
        raise ArchiveError(
            f"{address} is no Zarr with consolidated metadata, or there is nothing; check "
            "archives.era5.address."
        ) from error
    except READ_ERRORS as error:
        raise ArchiveError(
            f"{address} cannot be read as Zarr ({type(error).__name__}: {error}); check "
            "archives.era5.address."
        ) from error


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status == 429 or error.status >= 500
    return isinstance(error, aiohttp.ClientError | ConnectionError | TimeoutError)
