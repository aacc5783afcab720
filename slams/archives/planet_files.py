"""What the writers of the synthetic planet's netCDF files share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import pandas as pd

from slams.provenance import atomic

EPOCH = pd.Timestamp("1970-01-01")
SOURCE = "Synthetic planet of SLAMS: not observed, no reanalysis"
BATCH = 16  # times computed at once


@contextmanager
def dataset(path: Path, **attributes: str) -> Iterator[netCDF4.Dataset]:
    """A new netCDF4 file at `path` with global attributes."""
    with atomic(path) as partial, netCDF4.Dataset(partial, "w", format="NETCDF4") as file:
        file.setncatts(attributes)
        yield file


def variable(
    file: netCDF4.Dataset,
    name: str,
    kind: Any,
    dimensions: tuple[str, ...],
    *,
    values: Any,
    attributes: dict[str, Any],
    **storage: Any,
) -> None:
    """Add a variable; values are stored as they are, packed or not."""
    made = file.createVariable(name, kind, dimensions, **storage)
    made.set_auto_maskandscale(False)
    made.setncatts(attributes)
    made[...] = values
