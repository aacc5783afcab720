"""GridSat-B1: 3-hourly infrared brightness temperature from the geostationary satellites.

Knapp et al. 2011, Bull. Amer. Meteor. Soc. 92, 893; NOAA climate data record v02r01. Only the
window channel near 11 um (`irwin_cdr`) is of climate quality.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from slams.archives import fetch as transfer
from slams.archives.netcdf import horizontal, opened, times
from slams.errors import ArchiveError

BASE_URL = "https://noaa-cdr-gridsat-b1-pds.s3.amazonaws.com/data"
SCALE, OFFSET, FILL = 0.01, 200.0, -31999
VALID = (140.0, 375.0)  # K, of the GridSat header
PLAUSIBLE = (100.0, 400.0)  # K, for files of other origin


def open(path: Path) -> xr.DataArray:
    """Brightness temperature of a file.

    path: a GridSat-B1 file (variable `irwin_cdr`, packed or already in K), or a file with
    `brightness_temperature(time, latitude, longitude)` in K.
    Returns brightness_temperature(time, latitude, longitude), float32, K, NaN where nothing was
    seen; latitude north first, longitude 0..360 ascending, time datetime64[ns].

    Raises ArchiveError when the file is truncated or of another product.
    """
    path = Path(path)
    # Undecoded, so that the packing is undone exactly once, here.
    with opened(path, mask_and_scale=False) as dataset:
        if "irwin_cdr" in dataset:
            variable = dataset["irwin_cdr"].rename(
                {
                    old: new
                    for old, new in (("lat", "latitude"), ("lon", "longitude"))
                    if old in dataset["irwin_cdr"].dims
                }
            )
            values = _gridsat_values(variable)
        elif "brightness_temperature" in dataset:
            variable = dataset["brightness_temperature"]
            values = _decoded_values(variable, path)
        else:
            raise ArchiveError(
                f"{path} holds neither irwin_cdr (GridSat-B1) nor brightness_temperature but "
                f"{sorted(map(str, dataset.data_vars))}; give infrared imagery."
            )
        if variable.dims != ("time", "latitude", "longitude"):
            raise ArchiveError(
                f"{path}: {variable.name} has dimensions {variable.dims}, not time, latitude and "
                "longitude; it is of another product."
            )
        moments = times(dataset, "time", path)
        north, east, rows, columns = horizontal(
            variable["latitude"].values, variable["longitude"].values, path
        )
    order = np.argsort(moments, kind="stable")
    return xr.DataArray(
        values[np.ix_(order, rows, columns)],
        dims=("time", "latitude", "longitude"),
        coords={
            "time": ("time", moments[order], {"standard_name": "time"}),
            "latitude": ("latitude", north, {"units": "degrees_north"}),
            "longitude": ("longitude", east, {"units": "degrees_east"}),
        },
        name="brightness_temperature",
        attrs={"units": "K", "standard_name": "toa_brightness_temperature"},
    )


def _gridsat_values(variable: xr.DataArray) -> NDArray[np.float32]:
    """K, NaN where filled or out of the product's range. Floating values are K already."""
    raw = variable.values
    if np.issubdtype(raw.dtype, np.floating):
        kelvin = raw.astype(np.float32)
        seen = np.isfinite(kelvin)
    else:
        attributes = variable.attrs
        scale = float(attributes.get("scale_factor", SCALE))
        offset = float(attributes.get("add_offset", OFFSET))
        kelvin = (raw * scale + offset).astype(np.float32)
        seen = raw != int(attributes.get("_FillValue", FILL))
    seen &= (kelvin >= VALID[0]) & (kelvin <= VALID[1])
    return np.where(seen, kelvin, np.float32(np.nan))


def _decoded_values(variable: xr.DataArray, path: Path) -> NDArray[np.float32]:
    units = variable.attrs.get("units")
    packed = {"scale_factor", "add_offset"} & set(variable.attrs)
    if units != "K" or packed or not np.issubdtype(variable.dtype, np.floating):
        raise ArchiveError(
            f"{path}: brightness_temperature must be unpacked floating values in K, not "
            f"{variable.dtype} in {units!r}; convert it first."
        )
    values = variable.values.astype(np.float32)
    fill = variable.attrs.get("_FillValue", np.nan)
    values[values == np.float32(fill)] = np.nan
    wrong = (values < PLAUSIBLE[0]) | (values > PLAUSIBLE[1])
    if wrong.any():
        raise ArchiveError(
            f"{path}: brightness_temperature holds {float(values[wrong][0]):g} K, outside "
            f"{PLAUSIBLE[0]:g}..{PLAUSIBLE[1]:g} K; mark missing values as NaN or mend the unit."
        )
    return values


def inspect(path: Path) -> dict[str, Any]:
    """Read a file once in full and say what it holds, ready for JSON.

    Returns path, bytes, sha256, times (ISO, UTC) and missing_fraction (of cells, 0 to 1).
    Raises ArchiveError as `open` does.
    """
    path = Path(path)
    field = open(path)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": transfer.sha256(path),
        "times": np.datetime_as_string(field.time.values, unit="s").tolist(),
        "missing_fraction": float(np.isnan(field.values).mean()),
    }


def name(time: Any) -> str:
    """The provider's name of the file of one time, `GRIDSAT-B1.YYYY.MM.DD.HH.v02r01.nc`.

    time: UTC, anything that pandas takes as a time. Raises ArchiveError when the product has
    no such time.
    """
    moment = pd.Timestamp(time)
    if moment != moment.floor("3h"):
        raise ArchiveError(f"{time} is no time of GridSat-B1; ask for 00, 03, ... 21 UTC.")
    return moment.strftime("GRIDSAT-B1.%Y.%m.%d.%H.v02r01.nc")


def fetch(
    times: Iterable[Any],
    folder: Path,
    base_url: str = BASE_URL,
    *,
    attempts: int = 5,
    first_wait: float = 1.0,
) -> list[Path]:
    """Fetch the files of some times (UTC) into `folder/YYYY/`; return those that exist.

    Files already there are not asked for again. Times that the archive lacks are recorded in
    `folder/missing-YYYY.json`; imagery has gaps, so they are no error unless a year has nothing.

    Raises ArchiveError for a time that is not 3-hourly, and as fetch.download_all does.
    """
    years: dict[str, list[str]] = {}
    for time in times:
        file = name(time)
        years.setdefault(file.split(".")[1], []).append(file)
    fetched: list[Path] = []
    for year, files in sorted(years.items()):
        target = Path(folder) / year
        jobs = [(f"{base_url}/{year}/{file}", target / file) for file in files]
        fetched += transfer.download_all(
            jobs, target.with_name(f"missing-{year}.json"), attempts=attempts, first_wait=first_wait
        )
    return fetched
