"""The synthetic planet's GridSat-B1 files, with the noise and the gaps that real ones have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slams.archives.planet_files import BATCH, EPOCH, SOURCE, dataset, variable
from slams.archives.planet_weather import Planet
from slams.channels import WATER_VAPOUR, WINDOW

EDGE = 70.0  # degrees, nothing is seen poleward of it
NOISE_SD = 0.5  # K
FILE_LOSS_RATE = 0.01  # imagery files that do not exist
SECTOR_LOSS_RATE = 0.15  # imagery files that lack a wedge of longitudes
SECTOR_WIDTH = (30.0, 70.0)  # degrees
PIXEL_LOSS_RATE = 0.005
FILL = -31999
LONG_NAMES = {
    WINDOW.name: "NOAA FCDR of Brightness Temperature near 11 microns (Nadir-most)",
    WATER_VAPOUR.name: "Brightness Temperature near 6.7 microns (Nadir-most)",
}


def write(
    folder: Path,
    planet: Planet,
    times: pd.DatetimeIndex,
    spacing: float,
    channels: Sequence[str] = (WINDOW.name,),
) -> None:
    """One GridSat-B1 file for each time under `folder/YYYY/`, but for those that are lost.

    `spacing` is in degrees; `channels` are some of `slams.channels.GRIDSAT`.
    """
    latitude = np.arange(-EDGE, EDGE + 1e-6, spacing)
    longitude = -180 + spacing * np.arange(2 * round(180 / spacing))
    sights = {
        WINDOW.name: planet.brightness_temperature,
        WATER_VAPOUR.name: planet.water_vapour_brightness_temperature,
    }
    for i in range(0, len(times), BATCH):
        batch = times[i : i + BATCH]
        truth = [sights[c](batch.to_numpy(), latitude[:, None], longitude) for c in channels]
        for time, *fields in zip(batch, *truth, strict=True):
            hour = int((time - EPOCH) // pd.Timedelta("1h"))
            rng = np.random.default_rng([planet.seed, 6, hour])
            if rng.random() < FILE_LOSS_RATE:
                continue
            first = rng.normal(0, NOISE_SD, fields[0].shape)
            unseen = _unseen(rng, first.shape, longitude)  # one satellite, all its channels
            noise = [first, *(rng.normal(0, NOISE_SD, f.shape) for f in fields[1:])]
            raw = {}
            for channel, field, error in zip(channels, fields, noise, strict=True):
                raw[channel] = np.rint((field + error - 200) / 0.01).astype("i2")
                raw[channel][unseen] = FILL
            path = folder / f"{time:%Y}" / f"GRIDSAT-B1.{time:%Y.%m.%d.%H}.v02r01.nc"
            _write_image(path, hour, latitude, longitude, raw)


def _unseen(
    rng: np.random.Generator, shape: tuple[int, ...], longitude: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Scattered pixels and, in some files, the sector of one satellite."""
    missing = rng.random(shape) < PIXEL_LOSS_RATE
    sector, west, width = rng.random(), 360 * rng.random(), rng.uniform(*SECTOR_WIDTH)
    if sector < SECTOR_LOSS_RATE:
        missing |= (longitude - west) % 360 < width
    return missing


def _write_image(
    path: Path,
    hour: int,
    latitude: NDArray[np.floating],
    longitude: NDArray[np.floating],
    raw: dict[str, NDArray[np.int16]],
) -> None:
    with dataset(path, title="GridSat-B1 layout", Conventions="CF-1.6", source=SOURCE) as file:
        clock = {"units": "hours since 1970-01-01 00:00:00", "standard_name": "time"}
        north = {"units": "degrees_north", "standard_name": "latitude"}
        east = {"units": "degrees_east", "standard_name": "longitude"}
        for name, kind, size, values, attributes in (
            ("time", "i4", None, [hour], clock),
            ("lat", "f4", len(latitude), latitude, north),
            ("lon", "f4", len(longitude), longitude, east),
        ):
            file.createDimension(name, size)
            variable(file, name, kind, (name,), values=values, attributes=attributes)
        packing: dict[str, Any] = {
            "standard_name": "toa_brightness_temperature",
            "units": "kelvin",
            "scale_factor": np.float32(0.01),
            "add_offset": np.float32(200),
            "valid_range": np.array([-6000, 17500], "i2"),
        }
        storage = {"zlib": True, "complevel": 1, "fill_value": np.int16(FILL)}
        for channel, packed in raw.items():
            variable(
                file,
                channel,
                "i2",
                ("time", "lat", "lon"),
                values=packed[None],
                attributes={"long_name": LONG_NAMES[channel], **packing},
                **storage,
            )
