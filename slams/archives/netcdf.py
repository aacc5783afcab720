"""What the readers of netCDF archives share: opening with errors that help, and orientation."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from slams.archives import netcdf_classic
from slams.errors import ArchiveError
from slams.netcdf import open_dataset

# The first bytes of what a download may hold in place of netCDF, and what to do about it.
OTHER_FORMATS = {
    b"PK": "a zip file: ask for one product type and one variable at a time, or unpack it",
    b"GRIB": "GRIB: ask for data_format netcdf",
    b"<": "a web page: the server sent a message, not data; fetch it again",
    b"{": "JSON: the server sent a message, not data; fetch it again",
}


# What the libraries below raise of damaged files, beside errors of the system: they follow
# whatever numbers, names and types the bytes happen to spell.
READ_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@contextmanager
def reading(label: Path | str, failures: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """A block of calls to reading libraries, whose failures become ArchiveError naming `label`.

    failures: what the library raises beside READ_ERRORS.
    """
    expected: tuple[type[Exception], ...] = (*READ_ERRORS, *failures)
    try:
        yield
    except expected as error:
        raise _damaged(label, error) from error


@contextmanager
def opened(path: Path, *, label: str | None = None, **options: Any) -> Iterator[xr.Dataset]:
    """An open data set; failures to open or read it, in the body too, become ArchiveError.

    label: what messages call the file; None takes the path. options: passed on to
    xarray.open_dataset.
    """
    path = Path(path)
    label = str(path) if label is None else label
    if not path.is_file():
        raise ArchiveError(f"{label} does not exist; fetch it first or correct the path.")
    with path.open("rb") as file:
        start = file.read(4)
    for signature, meaning in OTHER_FORMATS.items():
        if start.startswith(signature):
            raise ArchiveError(f"{label} is not netCDF but {meaning}.")
    with reading(label):
        if start in netcdf_classic.MAGIC:
            netcdf_classic.check_length(path)
        dataset = open_dataset(path, **options)
    try:
        with dataset:
            yield dataset
    except (OSError, RuntimeError) as error:
        raise _damaged(label, error) from error


def _damaged(path: Path | str, error: BaseException) -> ArchiveError:
    said = " ".join(str(error).split()) or type(error).__name__
    return ArchiveError(
        f"{path} cannot be read ({said}); it is truncated or damaged: delete it and fetch it again."
    )


def times(dataset: xr.Dataset, name: str, path: Path) -> NDArray[np.datetime64]:
    """Times of a coordinate as datetime64[ns], UTC; shape (n,)."""
    values = np.atleast_1d(dataset[name].values)
    if values.dtype.kind != "M" or np.isnat(values).any():
        raise ArchiveError(
            f"{path}: {name} holds no dates of the standard calendar; it is damaged or of "
            "another product."
        )
    return values.astype("datetime64[ns]")


def horizontal(
    latitude: NDArray[Any], longitude: NDArray[Any], path: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Axes north first and 0..360 ascending, and the orders in which to take rows and columns.

    Rounded to 1e-5 degrees, so that files that store them as float32 and as float64 coincide;
    a longitude that a file repeats (0 and 360) is taken once.
    """
    north: NDArray[np.float64] = np.asarray(latitude, dtype=np.float64).round(5)
    east: NDArray[np.float64] = np.asarray(longitude, dtype=np.float64).round(5)
    if north.ndim != 1 or east.ndim != 1 or np.isnan(north).any() or np.isnan(east).any():
        raise ArchiveError(f"{path}: latitude and longitude must be axes without gaps.")
    if north.size and np.abs(north).max() > 90.0:
        raise ArchiveError(f"{path}: latitudes lie outside -90..90; it is of another product.")
    rows = np.argsort(-north, kind="stable")
    ring, columns = np.unique((east % 360.0).round(5) % 360.0, return_index=True)
    return north[rows], ring, rows, columns
