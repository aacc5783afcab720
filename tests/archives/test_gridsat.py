"""GridSat-B1 in the layout of its header, and imagery that is in K already."""

import json
import shutil

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from imagery_files import FILL, LATITUDE, LONGITUDE
from imagery_files import gridsat as real
from servers.files import FileServer

from slams.archives import gridsat
from slams.errors import ArchiveError


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


def test_a_file_that_xarray_decoded_and_wrote_again_is_the_same(tmp_path, raw):
    """Whether its packing was kept, dropped, or left behind as attributes of floating values."""
    raw[0, 3, 5] = FILL
    expected = gridsat.open(real(tmp_path / "g.nc", irwin_cdr=raw))
    with xr.open_dataset(tmp_path / "g.nc") as whole:
        decoded = whole[["irwin_cdr"]].load()
        decoded.to_netcdf(tmp_path / "kept.nc")
        plainly = decoded.drop_encoding()
        plainly.to_netcdf(tmp_path / "dropped.nc")
        plainly["irwin_cdr"].attrs |= {"scale_factor": 0.01, "add_offset": 200.0}
        with netCDF4.Dataset(tmp_path / "dropped.nc") as source:
            assert source["irwin_cdr"].dtype.kind == "f"
    shutil.copy(tmp_path / "dropped.nc", tmp_path / "left.nc")
    with netCDF4.Dataset(tmp_path / "left.nc", "a") as file:
        file["irwin_cdr"].setncatts({"scale_factor": 0.01, "add_offset": 200.0})
    for name in ("kept", "dropped", "left"):
        np.testing.assert_allclose(gridsat.open(tmp_path / f"{name}.nc"), expected, atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [lambda raw: raw.astype("f4"), lambda raw: raw * 0.01 - 73.15],
    ids=["counts", "Celsius"],
)
def test_floating_values_that_are_no_kelvin_are_told(tmp_path, raw, change):
    path = write(tmp_path / "g.nc", change(raw), packing=False, kind="f4")
    with pytest.raises(ArchiveError, match=r"g\.nc: most of irwin_cdr .* K, such as -"):
        gridsat.open(path)


@pytest.mark.parametrize("channel", ["irwin_cdr", "irwvp"])
def test_a_file_as_the_provider_writes_it(tmp_path, raw, channel):
    raw[0, 3, 5], raw[0, 3, 6] = FILL, -6001
    both = {"irwin_cdr": raw, "irwvp": raw - 1500}
    field = gridsat.open(real(tmp_path / "g.nc", **both), channel)
    assert field.name == {"irwvp": "water_vapour_brightness_temperature"}.get(
        channel, "brightness_temperature"
    )
    assert field.attrs == {"units": "K", "standard_name": "toa_brightness_temperature"}
    assert field.sizes == {"time": 1, "latitude": LATITUDE.size, "longitude": LONGITUDE.size}
    values = both[channel][0, ::-1] * 0.01 + 200.0
    values = np.roll(values, LONGITUDE.size // 2, axis=1)
    seen = ~np.isnan(field.values[0])
    np.testing.assert_allclose(field.values[0][seen], values[seen], atol=1e-4)
    lost = 2 if channel == "irwin_cdr" else 3  # colder by 15 K, the third is below 140 K
    assert (~seen).sum() in (lost, 2)


def test_a_channel_that_a_file_lacks_is_told(tmp_path, raw):
    path = real(tmp_path / "g.nc", irwin_cdr=raw)
    with pytest.raises(ArchiveError, match=r"g\.nc holds neither irwvp .* nor water_vapour_"):
        gridsat.open(path, "irwvp")


@given(
    st.lists(st.integers(-6000, 17500) | st.just(FILL), min_size=4, max_size=4),
    st.sampled_from([0.01, 0.02, 0.005]),
)
@settings(max_examples=20)
def test_packed_values_come_back_to_half_a_step(tmp_path_factory, counts, step):
    path = tmp_path_factory.mktemp("packed") / "g.nc"
    raw = np.full((1, LATITUDE.size, LONGITUDE.size), 6000, "i2")
    raw[0, 0, :4] = counts
    write(path, raw)
    with netCDF4.Dataset(path, "a") as file:
        file["irwin_cdr"].scale_factor = step
    found = gridsat.open(path).sel(latitude=-70.0).sortby("longitude").values[0]
    found = np.roll(found, LONGITUDE.size // 2)[:4]
    exact = np.asarray(counts) * step + 200.0
    seen = (np.asarray(counts) != FILL) & (exact >= 140) & (exact <= 375)
    edge = np.minimum(abs(exact - 140), abs(exact - 375)) < step / 2
    assert ((np.isfinite(found) == seen) | edge).all()
    both = np.isfinite(found) & seen
    assert np.abs(found - exact)[both].max(initial=0.0) < step / 2


@given(st.data())
@settings(max_examples=60)
def test_any_damage_gives_a_field_or_an_error_that_names_the_file(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damage")
    raw = np.full((1, LATITUDE.size, LONGITUDE.size), 6000, "i2")
    whole = bytearray(real(folder / "g.nc", irwin_cdr=raw).read_bytes())
    kind = data.draw(st.sampled_from(["bytes", "cut", "flips"]))
    if kind == "bytes":
        content = data.draw(st.binary(max_size=200))
    elif kind == "cut":
        content = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=20)):
            whole[place] = data.draw(st.integers(0, 255))
        content = whole
    broken = folder / "broken.nc"
    broken.write_bytes(bytes(content))
    try:
        field = gridsat.open(broken)
    except ArchiveError as error:
        assert "broken.nc" in str(error)
    else:
        assert kind == "flips"
        assert field.dims == ("time", "latitude", "longitude") and field.dtype == np.float32
        seen = field.values[np.isfinite(field.values)]
        assert ((seen >= 140) & (seen <= 375)).all()


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


def test_inspect_says_which_sectors_are_missing(tmp_path, raw):
    raw[..., (LONGITUDE > 59.0) & (LONGITUDE < 119.0)] = FILL
    found = json.loads(json.dumps(gridsat.inspect(real(tmp_path / "g.nc", irwin_cdr=raw))))
    assert [n for n, share in enumerate(found["missing_by_sector"]) if share > 0.5] == [2, 3]
    assert sum(found["missing_by_sector"]) == pytest.approx(2.0, abs=0.15)
    # A regional file has no column in most sectors.
    with xr.open_dataset(tmp_path / "g.nc", mask_and_scale=False) as dataset:
        dataset.isel(lon=slice(50, 58)).to_netcdf(tmp_path / "part.nc")
    shares = gridsat.inspect(tmp_path / "part.nc")["missing_by_sector"]
    assert shares[0] == 0.0 and shares[2:] == [None] * 10


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
    listed = gridsat.manifest(fetched, wanted)
    assert json.loads(json.dumps(listed)) == {
        "files": [str(path) for path in fetched],
        "missing": [
            {
                "time": "2000-01-01T06:00:00",
                "file": "GRIDSAT-B1.2000.01.01.06.v02r01.nc",
                "reason": "no address has the file",
            }
        ],
    }


def test_a_mirror_is_asked_first_and_the_provider_for_what_it_lacks(tmp_path, raw):
    body = write(tmp_path / "g.nc", raw).read_bytes()
    wanted = np.datetime64("2000-01-01T00") + 3 * np.arange(2)
    names = [f"/2000/{gridsat.name(time)}" for time in wanted]
    with FileServer({names[0]: body}) as near, FileServer(dict.fromkeys(names, body)) as far:
        fetched = gridsat.fetch(wanted, tmp_path, [far.url], mirrors=[f"{near.url}/"])
        assert [path.name for path in fetched] == [gridsat.name(time) for time in wanted]
        assert sorted(path for path, _ in near.asked) == names
        assert [path for path, _ in far.asked] == names[1:]
