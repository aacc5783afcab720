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
from slams.surface import reports

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


def test_reports_are_those_of_the_whole_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    times = pd.date_range("2001-01-01", periods=48, freq="h")
    fitted = xr.Dataset(
        {name: ("station", np.zeros(2)) for name in ("latitude", "longitude")},
        {"station": ["a", "b"]},
    )
    table = pd.DataFrame({"time": np.repeat(times, 3), "latitude": 0.0, "longitude": 0.0})
    table["air_temperature"] = rng.normal(280, 5, 144)
    table["station_id"] = pd.Categorical(np.tile(["a", "b", "c"], 48))
    table = table.iloc[np.sort(rng.choice(144, 90, replace=False))]
    table.to_parquet(tmp_path / "reports.parquet", index=False)
    asked = partial(station_set.read, [tmp_path / "reports.parquet"])
    for window in (times[[47, 3, 20]].values, times[:2].values + np.timedelta64(1, "m")):
        whole, lazy = (reports(source, fitted, window)[0] for source in (table, asked))
        np.testing.assert_array_equal(lazy, whole)


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_places_of_stations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    """The same however few rows are read at once; the names' numbers differ from year to year."""
    monkeypatch.setattr(station_set, "ROWS_A_GROUP", piece)
    rng = np.random.default_rng(2)
    parts = []
    for number, names in enumerate((["d", "a", "b"], ["b", "c", "d", "a"])):
        table = pd.DataFrame({"latitude": rng.uniform(-90, 90, 40)})
        table["longitude"] = rng.uniform(0, 360, 40)
        table["station_id"] = pd.Categorical(rng.choice(names, 40), names)
        table.to_parquet(tmp_path / f"{number}.parquet", index=False)
        parts.append(table.astype({"station_id": str}))
    stations = pd.concat(parts).groupby("station_id")
    found = station_set.places([tmp_path / "0.parquet", tmp_path / "1.parquet"])
    pd.testing.assert_frame_equal(
        found[["latitude", "longitude"]], stations[["latitude", "longitude"]].first()
    )
    assert found["rows"].to_dict() == stations.size().to_dict()
