"""Only the times of a window come into memory, of imagery and of stations."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from slams import series
from slams.archives import station_set
from slams.errors import SlamsError
from slams.observation.imagery import lazily, read

CHANNELS = ["irwin_cdr", "irwvp"]


@pytest.fixture
def years(tmp_path: Path) -> list[Path]:
    """Two years of twenty images of both channels; of the second a channel lacks pixels."""
    rng, paths = np.random.default_rng(0), []
    for year in (2001, 2002):
        times = np.datetime64(f"{year}-01-01", "ns") + np.arange(20) * np.timedelta64(1, "D")
        values = rng.normal(260, 9, (2, 20, 4, 8)).astype("f4")
        values[1, :, 0] = np.nan if year == 2002 else 250
        dims = ("time", "latitude", "longitude")
        names = ("brightness_temperature", "water_vapour_brightness_temperature")
        data = xr.Dataset(
            {name: (dims, field) for name, field in zip(names, values, strict=True)},
            {"time": times, "latitude": np.arange(4.0), "longitude": np.arange(8.0)},
        )
        paths.append(tmp_path / f"imagery-{year}.nc")
        series.write(paths[-1], times, [data], {})
    return paths


def test_lazy_images_are_the_images(years: list[Path]) -> None:
    lazy = lazily(years, CHANNELS)
    whole = xr.concat(list(read(years, CHANNELS)), dim="time")
    assert lazy.chunks is not None  # nothing was read
    assert lazy.dims == whole.dims
    xr.testing.assert_equal(lazy.compute(), whole)
    window = whole["time"].values[18:22]  # over the turn of the year
    xr.testing.assert_equal(lazy.reindex(time=window).compute(), whole.sel(time=window))


def test_a_lacking_channel_is_told(years: list[Path]) -> None:
    with pytest.raises(SlamsError, match=r"imagery-2001\.nc lacks .* of the channel olr"):
        lazily(years, ["olr"])


def test_stations_of_some_times(tmp_path: Path) -> None:
    times = pd.date_range("2001-01-01", periods=48, freq="h")
    table = pd.DataFrame({"time": np.repeat(times, 3), "air_temperature": np.arange(144.0)})
    table["station_id"] = pd.Categorical(np.tile(["a", "b", "c"], 48))
    files = [tmp_path / f"{number}.parquet" for number in range(2)]
    for file, part in zip(files, (table[:72], table[72:]), strict=True):
        part.to_parquet(file, index=False)
    asked = partial(station_set.read, files)
    window = times[[23, 24, 47]].values
    found = asked(window)
    expected = table[table["time"].isin(window)]
    assert list(found["air_temperature"]) == list(expected["air_temperature"])
    assert list(found["station_id"]) == list(expected["station_id"])
    assert len(asked()) == 144
    assert not len(asked(window + np.timedelta64(1, "m")))
