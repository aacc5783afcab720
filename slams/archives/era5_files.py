"""The containers in which ERA5 comes: netCDF, GRIB, or a zip of them. Told apart by content."""

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from slams.archives.netcdf import opened, reading
from slams.errors import ArchiveError

OPTIONS = {"cache": False, "decode_timedelta": True}
ZIP = b"PK\x03\x04"
GRIB = b"GRIB"
NETCDF = (b"CDF", b"\x89HDF")


@dataclass(frozen=True)
class Part:
    """One data set of a file, open and unread.

    label: the file, and the member of a zip, for messages. failures: what its library raises
    beside the usual errors.
    """

    label: str
    dataset: xr.Dataset
    failures: tuple[type[Exception], ...] = ()


@contextmanager
def parts(path: Path) -> Iterator[list[Part]]:
    """The data sets of a file, open as long as the context lasts; one or more.

    A zip is unpacked to a temporary folder (TMPDIR) for as long. Raises ArchiveError, naming the
    file and the member, where one cannot be opened; reading may still fail.
    """
    path = Path(path)
    with ExitStack() as stack:
        if _start(path) != ZIP:
            yield _open(path, str(path), stack)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slams-")))
            found: list[Part] = []
            for name, file in _unpacked(path, folder):
                found += _open(file, f"{path}: {name}", stack)
            yield found


def _start(path: Path) -> bytes:
    """The first four bytes; none where there is no such file."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(4)


def _open(file: Path, label: str, stack: ExitStack) -> list[Part]:
    """The data sets of one netCDF or GRIB file."""
    if _start(file) == GRIB:
        from slams.archives import era5_grib  # noqa: PLC0415 - its library is optional

        datasets = stack.enter_context(era5_grib.opened(file, label))
        return [Part(label, dataset, era5_grib.failures()) for dataset in datasets]
    return [Part(label, stack.enter_context(opened(file, label=label, **OPTIONS)))]


def _unpacked(path: Path, folder: Path) -> list[tuple[str, Path]]:
    """Every netCDF and GRIB member of a zip, with its name, unpacked into the folder."""
    failures = (zipfile.BadZipFile, zlib.error)
    found = []
    with reading(path, failures), zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        _check_room(path, folder, sum(member.file_size for member in members))
        for number, member in enumerate(members):
            # The member's own name could lead anywhere.
            file = folder / str(number)
            with archive.open(member) as source, file.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            if _start(file).startswith((GRIB, *NETCDF)):
                found.append((member.filename, file))
    if not found:
        raise ArchiveError(
            f"{path} is a zip without a netCDF or GRIB file in it; it is of another product."
        )
    return found


def _check_room(path: Path, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ArchiveError(
            f"{path} is a zip of {needed / 1e6:.0f} MB and {folder.parent} has {free / 1e6:.0f} MB "
            "left to unpack it; set TMPDIR to a larger folder, or unpack it yourself."
        )
