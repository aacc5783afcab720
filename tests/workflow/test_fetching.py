"""From an archive to common cells with one call: the rules that fetch, against loopback servers."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from working_copy import Copy

sys.path.insert(0, str(Path(__file__).parents[1]))
from servers.cds import LICENCE, DataStore
from servers.files import FileServer

from slams import grid

TARGET = "results/tiny/fields/era5-2001.nc"
POINTS = {"latitude": np.linspace(90, -90, 9), "longitude": np.arange(0, 360, 22.5)}
KEY = "a-secret-token"


def world() -> xr.DataArray:
    """A field for every day that the tiny configuration asks for, and some more."""
    times = np.arange("2001-01-01", "2001-05-01", np.timedelta64(1, "D"), "M8[ns]")
    values = np.random.default_rng(0).normal(260, 9, (times.size, 2, 9, 16)).astype("f4")
    return xr.DataArray(
        values,
        dims=("time", "level", "latitude", "longitude"),
        coords={"time": times, "level": [500, 850], **POINTS},
        attrs={"units": "K"},
        name="temperature",
    )


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


def check(copy: Copy) -> None:
    with xr.open_dataset(copy / TARGET) as fields:
        times = fields["time"].values
        expected = grid.regrid(world().sel(time=times), grid.Grid(22.5))
        np.testing.assert_allclose(fields["air_temperature"].values, expected.values, rtol=1e-6)
        assert times.size == 31 + 28 + 31 + 15


def test_from_the_climate_data_store(fresh: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    def content(inputs: dict[str, list[str]]) -> bytes:
        assert inputs["grid"] == ["22.5", "22.5"] and inputs["pressure_level"] == ["500", "850"]
        month = world().sel(time=f"{inputs['year'][0]}-{inputs['month'][0]}")
        month = month.isel(time=[int(day) - 1 for day in inputs["day"]])
        month["level"].attrs["units"] = "hPa"
        named = month.rename(time="valid_time", level="pressure_level")
        path = fresh / f"made-{inputs['month'][0]}-{inputs['day'][0]}.nc"
        named.to_dataset(name="t").to_netcdf(path)
        return path.read_bytes()

    keys = {"archives": {"era5": {"source": "cds"}}}
    with DataStore(content, refusal=(403, LICENCE)) as store:
        monkeypatch.setenv("CDSAPI_URL", store.url)
        monkeypatch.setenv("CDSAPI_KEY", KEY)
        call = fresh.snakemake(TARGET, keys=keys)
        refused = call
        assert call.status == 1 and "pressure-levels?tab=download" in call.last
        assert "Traceback" not in call.last
        store.refusal = None
        store.largest = 40  # a month in two requests
        call = fresh.snakemake(TARGET, keys=keys)
        assert call.status == 0, call.text
        assert 'cds=Resource("cds", 2)' in call.text
        assert len(store.inputs) == 8 and store.tokens == {KEY}
        assert not fresh.plan(TARGET, keys=keys)
    check(fresh)
    raw = {path.name for path in (fresh / "data/tiny/era5/2001").iterdir()}
    assert raw == {f"era5_t_2001-{month:02d}.nc" for month in range(1, 5)}
    # The key is in no log, result, raw file, record of Snakemake's, or word on the terminal.
    written = [path for path in fresh.folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" for path in written)
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
    assert KEY not in refused.text + call.text


def test_from_a_public_zarr(fresh: Copy) -> None:
    path = fresh / "zarr" / "x.zarr"
    data = world().to_dataset()
    encoding = {"temperature": {"chunks": (1, 2, 9, 16)}}
    data.to_zarr(path, zarr_format=2, consolidated=True, encoding=encoding)
    files = {
        "/" + file.relative_to(fresh / "zarr").as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }
    with FileServer(files) as server:
        address = f"{server.url}/x.zarr"
        keys = {"archives": {"era5": {"source": "arco", "address": address}}}
        call = fresh.snakemake(TARGET, keys=keys)
        assert call.status == 0, call.text
    check(fresh)
    assert (fresh / "data/tiny/era5-arco/2001/era5_t_2001-04.nc").is_file()
    assert not (fresh / "data/tiny/era5").exists()


def test_a_station_file_that_was_damaged_is_fetched_again_once_deleted(fresh: Copy) -> None:
    """Only the manifest is an output; what its error asks for must be enough nevertheless."""
    row = '"{}","99999","A","NO","","","+70.9","-8.6","+0009.0","19310101","20160609"\n'
    head = (
        '"USAF","WBAN","STATION NAME","CTRY","STATE","ICAO","LAT","LON","ELEV(M)","BEGIN","END"\n'
    )
    lines = (
        f"2001 {month:02d} {day:02d} 00   120    60 10123   250    30     0 -9999 -9999\n"
        for month in range(1, 5)
        for day in range(1, 29)
    )
    good = gzip.compress("".join(lines).encode())
    bad = "/isd-lite/2001/010020-99999-2001.gz"
    files = {
        "/isd-history.csv": (head + row.format("010010") + row.format("010020")).encode(),
        "/isd-lite/2001/010010-99999-2001.gz": good,
        bad: b"<html>Please try later.</html>",
    }
    table = "results/tiny/stations/year=2001/reports.parquet"
    with FileServer(files) as server:
        stations = {"source": "isd-lite", "mirrors": [server.url]}
        keys = {"archives": {"stations": stations}}
        call = fresh.snakemake(table, keys=keys)
        assert call.status == 1 and "010020-99999-2001.gz" in call.last
        assert "delete" in call.last and "Traceback" not in call.last
        (named,) = (fresh / "data").rglob("010020-99999-2001.gz")
        named.unlink()
        files[bad] = good
        manifest = fresh / "data/tiny/isd/isd-lite-2001.json"
        fresh.plan(table, keys=keys)
        assert manifest.exists()  # a dry run changes nothing
        call = fresh.snakemake(table, keys=keys)
        assert call.status == 0, call.text
        assert "isd-lite-2001.json is out of date" in call.text
        assert pd.read_parquet(fresh / table)["station_id"].nunique() == 2
        assert not fresh.plan(table, keys=keys)
