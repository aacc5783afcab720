"""GridSat-B1 in the layout of its header, and imagery that is in K already."""

import json

import netCDF4
import numpy as np
import pytest
from servers.files import FileServer

from slams.archives import gridsat
from slams.errors import ArchiveError

LATITUDE = np.arange(-70.0, 70.0, 3.5).astype("f4")
LONGITUDE = np.arange(-180.0, 180.0, 3.6).astype("f4")


def write(path, raw, *, packing=True, kind="i2"):
    """A file with the header of GridSat-B1 v02r01 on coarse axes."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("lat", LATITUDE.size)
        file.createDimension("lon", LONGITUDE.size)
        time = file.createVariable("time", "i4", ("time",))
        time.units = "hours since 1970-01-01 00:00:00"
        time[:] = [262968]  # 2000-01-01
        file.createVariable("lat", "f4", ("lat",))[:] = LATITUDE
        file.createVariable("lon", "f4", ("lon",))[:] = LONGITUDE
        channel = file.createVariable(
            "irwin_cdr", kind, ("time", "lat", "lon"), zlib=True, fill_value=-31999
        )
        channel.set_auto_maskandscale(False)
        if packing:
            channel.scale_factor, channel.add_offset = np.float32(0.01), np.float32(200.0)
            channel.valid_range = np.array([-6000, 17500], "i2")
            channel.units = "kelvin"
        channel[:] = raw
    return path


@pytest.fixture
def raw():
    kelvin = 230 + 0.5 * LATITUDE[:, None] + 0.05 * LONGITUDE[None]
    return np.round((kelvin - 200) / 0.01).astype("i2")[None]


@pytest.mark.parametrize("packing", [True, False])
def test_the_packing_is_undone_once(tmp_path, raw, packing):
    raw[0, 3, 5] = -31999
    field = gridsat.open(write(tmp_path / "g.nc", raw, packing=packing))
    assert field.dims == ("time", "latitude", "longitude") and field.dtype == np.float32
    assert field.name == "brightness_temperature" and field.units == "K"
    assert field.time.values[0] == np.datetime64("2000-01-01T00", "ns")
    assert np.all(np.diff(field.latitude) < 0) and np.all(np.diff(field.longitude) > 0)
    assert field.longitude[0] >= 0 and field.longitude[-1] < 360
    assert int(np.isnan(field).sum()) == 1
    here = field.sel(latitude=-70.0, longitude=180.0)
    assert float(here[0]) == pytest.approx(230 - 35 - 9, abs=0.006)
    here = field.sel(latitude=66.5, longitude=90.0)
    assert float(here[0]) == pytest.approx(230 + 33.25 + 4.5, abs=0.006)


def test_already_decoded_kelvin_is_not_scaled_again(tmp_path, raw):
    path = write(tmp_path / "g.nc", raw * 0.01 + 200.0, packing=False, kind="f4")
    assert float(gridsat.open(path).min()) > 180


def test_values_outside_the_product_are_missing(tmp_path, raw):
    raw[0, 0, 0], raw[0, 0, 1] = -6001, 17501
    assert int(np.isnan(gridsat.open(write(tmp_path / "g.nc", raw))).sum()) == 2


def test_inspect_is_ready_for_json(tmp_path, raw):
    raw[0, :10] = -31999
    path = write(tmp_path / "g.nc", raw)
    found = json.loads(json.dumps(gridsat.inspect(path)))
    assert found["times"] == ["2000-01-01T00:00:00"]
    assert found["missing_fraction"] == pytest.approx(10 / LATITUDE.size)
    assert found["bytes"] == path.stat().st_size and len(found["sha256"]) == 64


def test_an_image_without_any_value_is_legal(tmp_path, raw):
    assert gridsat.inspect(write(tmp_path / "g.nc", raw * 0 - 31999))["missing_fraction"] == 1.0


def test_truncated_and_other_files_are_named(tmp_path, raw):
    whole = write(tmp_path / "g.nc", raw).read_bytes()
    cut = tmp_path / "cut.nc"
    for size in (0, 100, len(whole) // 2, len(whole) - 10):
        cut.write_bytes(whole[:size])
        with pytest.raises(ArchiveError, match=r"cut\.nc"):
            gridsat.open(cut)
    with netCDF4.Dataset(tmp_path / "other.nc", "w") as file:
        file.createDimension("x", 2)
        file.createVariable("olr", "f4", ("x",))[:] = 0
    with pytest.raises(ArchiveError, match=r"other\.nc.*olr"):
        gridsat.open(tmp_path / "other.nc")
    with pytest.raises(ArchiveError, match="does not exist"):
        gridsat.open(tmp_path / "none.nc")


def test_decoded_imagery_must_be_in_kelvin(tmp_path):
    for name, units, value in (("c.nc", "degC", 20.0), ("k.nc", "K", 20.0)):
        with netCDF4.Dataset(tmp_path / name, "w") as file:
            for axis, size in (("time", 1), ("latitude", 2), ("longitude", 2)):
                file.createDimension(axis, size)
                file.createVariable(axis, "f8", (axis,))[:] = np.arange(size)
            file["time"].units = "hours since 2000-01-01"
            field = file.createVariable("brightness_temperature", "f4", file.dimensions)
            field.units = units
            field[:] = value
        with pytest.raises(ArchiveError, match=name):
            gridsat.open(tmp_path / name)


def test_the_model_planet(samples):
    field = gridsat.open(samples / "nature" / "imagery" / "brightness_temperature_2003.nc")
    assert field.sizes == {"time": 61, "latitude": 49, "longitude": 96}
    assert 200 < float(field.min()) < float(field.max()) < 320
    assert field.latitude[0] == 90.0


def test_names_and_fetching(tmp_path, raw):
    assert gridsat.name("2000-01-01T03") == "GRIDSAT-B1.2000.01.01.03.v02r01.nc"
    assert (
        gridsat.name(np.datetime64("1999-12-31T21", "ns")) == "GRIDSAT-B1.1999.12.31.21.v02r01.nc"
    )
    with pytest.raises(ArchiveError, match="01:00"):
        gridsat.name("2000-01-01T01:00")
    body = write(tmp_path / "g.nc", raw).read_bytes()
    wanted = np.datetime64("2000-01-01T00") + 3 * np.arange(3)
    files = {f"/2000/{gridsat.name(time)}": body for time in wanted[:2]}
    with FileServer(files) as server:
        fetched = gridsat.fetch(wanted, tmp_path / "raw", server.url)
        asked = len(server.asked)
        assert gridsat.fetch(wanted[:2], tmp_path / "raw", server.url) == fetched
        assert len(server.asked) == asked
    assert [path.name for path in fetched] == [gridsat.name(time) for time in wanted[:2]]
    missing = json.loads((tmp_path / "raw" / "missing-2000.json").read_text())
    assert [entry["file"] for entry in missing] == [gridsat.name(wanted[2])]
