"""ERA5 as GRIB, through cfgrib, which is optional: `pip install slams[grib]`."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from types import ModuleType

import xarray as xr

from slams.archives.netcdf import reading
from slams.errors import ArchiveError

# What tells apart fields that may hold the same time and level: final and preliminary values,
# the single analysis and the ensemble, members and their mean.
KINDS = ("expver", "stream", "dataType")
TEMPERATURE = {"shortName": "t", "typeOfLevel": "isobaricInhPa"}


def _library(label: str) -> ModuleType:
    try:
        import cfgrib  # noqa: PLC0415 - optional, and slow to import
    except (ImportError, RuntimeError) as error:
        raise ArchiveError(
            f"{label} is GRIB, which needs cfgrib ({error}): pip install cfgrib, or ask for "
            "data_format netcdf."
        ) from error
    return cfgrib


def failures() -> tuple[type[Exception], ...]:
    """What eccodes raises of damaged messages; only where cfgrib is installed."""
    import eccodes  # noqa: PLC0415

    return (eccodes.CodesInternalError,)


@contextmanager
def opened(path: Path, label: str) -> Iterator[list[xr.Dataset]]:
    """The temperatures on pressure levels of a GRIB file, a data set for each kind of field.

    No index is written beside the file. Raises ArchiveError naming `label` where cfgrib is not
    installed, and where the file is cut, damaged or holds no such field.
    """
    cfgrib = _library(label)
    _check_messages(path, label)
    found = []
    with ExitStack() as stack:
        with reading(label, failures()):
            stream = cfgrib.FileStream(str(path), errors="raise")
            keys = (*TEMPERATURE, *KINDS)
            index = cfgrib.messages.FileIndex.from_fieldset(stream, keys)
            for values, messages in index.subindex(TEMPERATURE).iter_index():
                only = dict(zip(keys, values, strict=True))
                dataset = xr.open_dataset(  # noqa: TID251 - no netCDF
                    str(path),
                    engine="cfgrib",
                    cache=False,
                    decode_timedelta=True,
                    backend_kwargs={"indexpath": "", "errors": "raise", "filter_by_keys": only},
                )
                found.append(stack.enter_context(dataset).assign_coords(expver=only["expver"]))
                _check_repeats(dataset, len(messages), label)
        if not found:
            raise ArchiveError(
                f"{label} holds no air temperature (t) on pressure levels; it is of another "
                "product: give the variable temperature on pressure levels."
            )
        yield found


def _check_repeats(dataset: xr.Dataset, held: int, label: str) -> None:
    """Refuse a file that holds a field twice, of which cfgrib takes one without a word."""
    for variable in dataset.data_vars.values():
        sizes = (n for dim, n in variable.sizes.items() if dim not in ("latitude", "longitude"))
        if held > prod(sizes):
            raise ArchiveError(
                f"{label} holds {held} GRIB messages for {variable.name} where its times, levels "
                "and members need fewer: some come twice; give each once."
            )


def _check_messages(path: Path, label: str) -> None:
    """Refuse a cut file, whose last message eccodes passes over."""
    size = path.stat().st_size
    start = 0
    with path.open("rb") as file:
        while start < size:
            file.seek(start)
            head = file.read(16)
            edition = head[7] if len(head) == 16 else 0
            length = int.from_bytes(head[8:16] if edition == 2 else head[4:7], "big")
            file.seek(max(start + length - 4, 0))
            if head[:4] != b"GRIB" or edition not in (1, 2) or file.read(4) != b"7777":
                raise ArchiveError(
                    f"{label} cannot be read: its GRIB message at byte {start} is cut or damaged; "
                    "delete it and fetch it again."
                )
            start += length
