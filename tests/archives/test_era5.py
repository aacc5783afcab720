"""ERA5 in both layouts, synthetic and real, and the requests for it against a loopback store."""

import json
from calendar import monthrange

import cdsapi
import netCDF4
import numpy as np
import pytest
import xarray as xr
from servers import cds as stub

from slams.archives import era5
from slams.errors import ArchiveError, SlamsError

LATITUDE, LONGITUDE = np.linspace(90, -90, 7), np.arange(0, 360, 45.0)
KEY = "a-secret-token"


def values(times, levels=2, members=None):
    shape = (times, *(() if members is None else (members,)), levels, 7, 8)
    return (250 + 20 * np.random.default_rng(times).standard_normal(shape)).astype("f4")


def write_new(path, times, *, levels=(850, 500), data=None, units="K", **coordinates):
    """The Climate Data Store's present layout."""
    data = values(len(times), len(levels)) if data is None else data
    axes = {"latitude": LATITUDE, "longitude": LONGITUDE, **coordinates}
    xr.Dataset(
        {"t": (("valid_time", "pressure_level", *axes), data, {"units": units})},
        coords={
            "valid_time": np.asarray(times, "M8[ns]"),
            "pressure_level": ("pressure_level", np.array(levels, "f8"), {"units": "hPa"}),
            "number": 0,
            "expver": ("valid_time", np.full(len(times), "0001")),
            **axes,
        },
    ).to_netcdf(path, engine="netcdf4")
    return path


def write_old(path, times, data, versions=None):
    """The layout before autumn 2024: classic netCDF, packed, levels and latitudes as stored."""
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        versions_axis = () if versions is None else ("expver",)
        axes = {"time": len(times), "level": 2, "latitude": 7, "longitude": 8}
        if versions is not None:
            axes["expver"] = len(versions)
        for name, size in axes.items():
            file.createDimension(name, size)
        for name, content in (("latitude", LATITUDE), ("longitude", LONGITUDE - 180)):
            file.createVariable(name, "f4", (name,))[:] = content
        level = file.createVariable("level", "i4", ("level",))
        level.units = "millibars"
        level[:] = [500, 850]
        if versions is not None:
            file.createVariable("expver", "i4", ("expver",))[:] = versions
        time = file.createVariable("time", "i4", ("time",))
        time.units = "hours since 1900-01-01 00:00:00.0"
        time[:] = (np.asarray(times, "M8[h]") - np.datetime64("1900-01-01T00")).astype(int)
        dims = ("time", *versions_axis, "level", "latitude", "longitude")
        field = file.createVariable("t", "i2", dims, fill_value=-32767)
        field.scale_factor, field.add_offset, field.units = 0.003, 260.0, "K"
        field[:] = np.ma.masked_array(np.nan_to_num(data, nan=260.0), np.isnan(data))
    return path


def days(first, count):
    return np.datetime64(first, "h") + 24 * np.arange(count)


def test_the_new_layout_comes_in_our_order(tmp_path):
    path = write_new(tmp_path / "a.nc", days("2001-01-01", 3))
    field = era5.open(path)
    assert field.name == "air_temperature" and field.units == "K"
    assert field.dims == ("time", "level", "latitude", "longitude")
    assert field.dtype == np.float32 and field.time.dtype == "datetime64[ns]"
    assert field.level.values.tolist() == [500, 850] and field.level.units == "hPa"
    np.testing.assert_array_equal(field.values, values(3)[:, ::-1])
    assert set(field.coords) == {"time", "level", "latitude", "longitude"}


def test_south_first_and_western_longitudes_are_turned(tmp_path):
    data = values(1)
    plain = era5.open(write_new(tmp_path / "a.nc", days("2001-01-01", 1), data=data))
    turned = write_new(
        tmp_path / "b.nc",
        days("2001-01-01", 1),
        data=np.roll(data, 4, axis=-1)[..., ::-1, :],
        latitude=LATITUDE[::-1],
        longitude=LONGITUDE - 180,
    )
    xr.testing.assert_identical(era5.open(turned), plain)


def test_the_old_packed_layout(tmp_path):
    data = values(2)
    path = write_old(tmp_path / "old.nc", days("2001-01-01", 2), data)
    field = era5.open(path)
    assert field.dtype == np.float32 and field.level.values.tolist() == [500, 850]
    assert field.longitude[0] == 0.0
    np.testing.assert_allclose(field.values, np.roll(data, 4, axis=-1), atol=0.0016)


@pytest.mark.parametrize("versions", [(1, 5), (5, 1)])
def test_final_values_go_before_preliminary_ones(tmp_path, versions):
    final, preliminary = values(3), values(3) + 5
    final[2] = np.nan
    preliminary[:1] = np.nan
    parts = {1: final, 5: preliminary}
    data = np.stack([parts[version] for version in versions], axis=1)
    field = era5.open(write_old(tmp_path / "mix.nc", days("2001-01-01", 3), data, versions))
    expected = np.concatenate([final[:2], preliminary[2:]])
    np.testing.assert_allclose(field.values, np.roll(expected, 4, axis=-1), atol=0.0016)


def test_files_are_joined_in_time(tmp_path):
    late = write_new(tmp_path / "a.nc", days("2001-02-01", 2))
    early = write_new(tmp_path / "b.nc", days("2001-01-01", 31))
    field = era5.open([late, early])
    assert np.all(np.diff(field.time.values) == np.timedelta64(1, "D")) and field.time.size == 33
    with pytest.raises(ArchiveError, match=r"a\.nc.*c\.nc.*2001-02-02"):
        era5.open([late, write_new(tmp_path / "c.nc", days("2001-02-02", 1))])


def test_files_that_do_not_fit_are_named(tmp_path):
    first = write_new(tmp_path / "a.nc", days("2001-01-01", 1))
    other = write_new(tmp_path / "b.nc", days("2001-01-02", 1), levels=(850, 700))
    with pytest.raises(ArchiveError, match=r"b\.nc.*level"):
        era5.open([first, other])
    assert era5.open([first, other], levels=[850]).sizes["time"] == 2
    with pytest.raises(ArchiveError, match=r"b\.nc.*500"):
        era5.open([first, other], levels=[500, 850])
    shifted = write_new(tmp_path / "c.nc", days("2001-01-03", 1), longitude=LONGITUDE + 1)
    with pytest.raises(ArchiveError, match=r"c\.nc.*longitude"):
        era5.open([first, shifted])


def test_wrong_units_and_values_are_named(tmp_path):
    with pytest.raises(ArchiveError, match=r"c\.nc.*degC"):
        era5.open(write_new(tmp_path / "c.nc", days("2001-01-01", 1), units="degC"))
    data = values(1)
    data[0, 1, 2, 3] = 20.0
    with pytest.raises(ArchiveError, match=r"v\.nc holds 20 K at 500 hPa"):
        era5.open(write_new(tmp_path / "v.nc", days("2001-01-01", 1), data=data))
    data[0, 1] = np.nan
    with pytest.raises(ArchiveError, match=r"n\.nc holds no value at 500 hPa, 2001-01-01"):
        era5.open(write_new(tmp_path / "n.nc", days("2001-01-01", 1), data=data))
    twice = days("2001-01-01", 2).repeat(2)
    with pytest.raises(ArchiveError, match=r"t\.nc.*both hold"):
        era5.open(write_new(tmp_path / "t.nc", twice))


def test_truncated_files_of_both_kinds_are_named(tmp_path):
    new = write_new(tmp_path / "new.nc", days("2001-01-01", 3)).read_bytes()
    old = write_old(tmp_path / "old.nc", days("2001-01-01", 3), values(3)).read_bytes()
    cut = tmp_path / "cut.nc"
    for whole in (new, old):
        for size in (0, 3, 60, len(whole) // 2, len(whole) - 9):
            cut.write_bytes(whole[:size])
            with pytest.raises(ArchiveError, match=r"cut\.nc"):
                era5.inspect(cut)


def test_a_damaged_chunk_is_found(tmp_path):
    path = write_new(tmp_path / "a.nc", days("2001-01-01", 3))
    dataset = xr.load_dataset(path)
    encoding = {"t": {"zlib": True, "fletcher32": True}}
    dataset.to_netcdf(path, engine="netcdf4", encoding=encoding)
    content = bytearray(path.read_bytes())
    middle = content.index(b"\x78\x5e") if b"\x78\x5e" in content else len(content) // 2
    content[middle + 200 : middle + 240] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"a\.nc"):
        era5.inspect(path)


@pytest.mark.parametrize(
    ("start", "word"),
    [(b"PK\x03\x04", "zip"), (b"GRIB", "netcdf"), (b"<html>", "web page"), (b"noise", "damaged")],
)
def test_other_files_say_what_they_are(tmp_path, start, word):
    path = tmp_path / "x.nc"
    path.write_bytes(start + bytes(100))
    with pytest.raises(ArchiveError, match=rf"x\.nc.*{word}"):
        era5.open(path)
    with pytest.raises(ArchiveError, match="does not exist"):
        era5.open(tmp_path / "none.nc")


def test_the_land_mask(tmp_path):
    mask = np.random.default_rng(0).random((1, 7, 8))
    path = tmp_path / "m.nc"
    data = xr.Dataset(
        {"lsm": (("valid_time", "latitude", "longitude"), mask)},
        coords={"latitude": LATITUDE[::-1], "longitude": LONGITUDE},
    )
    data.to_netcdf(path)
    land = era5.open_land_mask(path)
    np.testing.assert_allclose(land.values, mask[0, ::-1], rtol=1e-6)
    (data * 100).to_netcdf(path)
    with pytest.raises(ArchiveError, match=r"m\.nc.*fraction"):
        era5.open_land_mask(path)
    with pytest.raises(ArchiveError, match="lsm"):
        era5.open_land_mask(write_new(tmp_path / "t.nc", days("2001-01-01", 1)))


def test_real_files(samples):
    folder = samples / "era5"
    ensemble = era5.open(folder / "eda_t_850_500_3deg_2017-01.new-cds-layout.nc")
    assert ensemble.dims == ("time", "number", "level", "latitude", "longitude")
    assert ensemble.shape == (4, 10, 2, 61, 120)
    old = folder / "pressure_levels_2021-02-15.old-cds.nc"
    field = era5.open(old, levels=[1000, 700])
    assert field.level.values.tolist() == [700, 1000] and field.sizes["time"] == 16
    found = json.loads(json.dumps(era5.inspect(old)))
    assert found["levels"] == [700, 850, 1000] and found["members"] == 1
    assert found["times"][0] == "2021-02-15T08:00:00"
    for name in (
        "single_level_u10_v10_2025-11-04.new-cds.nc",
        "single_level_2021-02-15.old-cds.nc",
    ):
        with pytest.raises(ArchiveError, match=name):
            era5.open(folder / name)
    planet = era5.open(samples / "nature" / "era5" / "temperature_2003.nc")
    assert planet.sizes["level"] == 8 and planet.level[0] == 30
    with pytest.raises(ArchiveError, match="t2m"):
        era5.open(samples / "nature" / "era5" / "t2m_2003.nc")


MONTH = {"levels": [500, 850], "hours": [0, 12], "spacing": 30.0}


@pytest.fixture
def answer(tmp_path):
    """The bytes with which the store answers a request."""

    def content(inputs):
        year, month = int(inputs["year"][0]), int(inputs["month"][0])
        start = np.datetime64(f"{year:04d}-{month:02d}-01T00", "h")
        hours = np.array([int(time[:2]) for time in inputs["time"]])
        times = (start + 24 * np.arange(len(inputs["day"]))[:, None] + hours).ravel()
        levels = [int(level) for level in inputs["pressure_level"]][::-1]
        return write_new(tmp_path / "made.nc", times, levels=levels).read_bytes()

    return content


def client(store):
    return cdsapi.Client(
        url=store.url, key=KEY, quiet=True, progress=False, retry_max=2, sleep_max=1
    )


def test_the_request():
    asked = era5.request(2000, 2, area=[60, -10, 30, 40], **MONTH)
    assert asked["day"][-1] == "29" and len(asked["day"]) == monthrange(2000, 2)[1]
    assert asked["time"] == ["00:00", "12:00"] and asked["pressure_level"] == ["500", "850"]
    assert asked["grid"] == ["30", "30"] and asked["area"] == [60, -10, 30, 40]
    assert asked["data_format"] == "netcdf" and "area" not in era5.request(2000, 2, **MONTH)


def test_a_month_is_fetched_once_with_the_real_client(tmp_path, answer):
    target = tmp_path / "era5" / "2000" / "era5_t_2000-02.nc"
    with stub.DataStore(answer) as store:
        for _ in range(2):
            assert era5.fetch(2000, 2, target, client=client(store), **MONTH) == target
        assert len(store.inputs) == 1 and store.tokens == {KEY}
        assert store.inputs[0] == era5.request(2000, 2, **MONTH)
        found = era5.inspect(target)
        assert len(found["times"]) == 58 and found["levels"] == [500, 850]
        target.write_bytes(target.read_bytes()[:1000])
        era5.fetch(2000, 2, target, client=client(store), **MONTH)
        assert len(store.inputs) == 2 and era5.inspect(target) == found
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_the_land_mask_is_fetched_once_with_the_real_client(tmp_path):
    def content(inputs):
        assert inputs["variable"] == ["land_sea_mask"] and inputs["grid"] == ["30", "30"]
        path = tmp_path / "made.nc"
        xr.Dataset(
            {"lsm": (("latitude", "longitude"), np.full((7, 12), 0.25, np.float32))},
            coords={"latitude": np.linspace(90, -90, 7), "longitude": np.arange(0, 360, 30.0)},
        ).to_netcdf(path)
        return path.read_bytes()

    target = tmp_path / "raw" / "land_sea_mask.nc"
    with stub.DataStore(content) as store:
        for _ in range(2):
            era5.fetch_land_mask(target, spacing=30.0, client=client(store))
    assert len(store.inputs) == 1
    assert (era5.open_land_mask(target) == 0.25).all()
    assert not list(target.parent.glob("*.part"))


def test_an_answer_that_lacks_days_never_gets_the_name(tmp_path, answer):
    def short(inputs):
        return answer({**inputs, "day": inputs["day"][:20]})

    with (
        stub.DataStore(short) as store,
        pytest.raises(ArchiveError, match=r"m\.nc.*lacks 18 of 58 times, the first 2000-02-21T00"),
    ):
        era5.fetch(2000, 2, tmp_path / "m.nc", client=client(store), **MONTH)
    assert not (tmp_path / "m.nc").exists() and not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ({"refusal": (403, stub.LICENCE)}, r"accept it.*reanalysis-era5-pressure-levels\?tab"),
        ({"refusal": (403, stub.COST)}, "fewer levels"),
        ({"refusal": (401, stub.AUTHENTICATION)}, "key was not accepted"),
        ({"refusal": (400, {"title": f"bad {KEY}"})}, r"bad \(key\)"),
        (
            {"failure": {"title": "The job has failed", "traceback": "no data"}},
            "job failed.*no data",
        ),
    ],
    ids=["licence", "cost", "authentication", "key in message", "failed job"],
)
def test_refusals_say_what_to_do_and_hide_the_key(tmp_path, answer, trouble, message):
    with (
        stub.DataStore(answer, **trouble) as store,
        pytest.raises(ArchiveError, match=message) as caught,
    ):
        era5.fetch(2000, 2, tmp_path / "m.nc", client=client(store), **MONTH)
    assert KEY not in str(caught.value) and "m.nc" in str(caught.value)
    assert not list(tmp_path.glob("m.nc*"))


def test_a_missing_or_old_key_is_said(tmp_path, monkeypatch):
    for name in ("CDSAPI_URL", "CDSAPI_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CDSAPI_RC", str(tmp_path / "rc"))
    with pytest.raises(SlamsError, match=r"rc is missing.*demo"):
        era5.fetch(2000, 2, tmp_path / "m.nc", **MONTH)
    (tmp_path / "rc").write_text("url: http://127.0.0.1:9/api\nkey: 123:abc-secret\n")
    with pytest.raises(SlamsError, match="old form") as caught:
        era5.fetch(2000, 2, tmp_path / "m.nc", **MONTH)
    assert "abc-secret" not in str(caught.value)


def test_the_users_key_makes_a_client(tmp_path, monkeypatch, answer):
    monkeypatch.delenv("CDSAPI_URL", raising=False)
    monkeypatch.delenv("CDSAPI_KEY", raising=False)
    monkeypatch.setenv("CDSAPI_RC", str(tmp_path / "rc"))
    with stub.DataStore(answer) as store:
        (tmp_path / "rc").write_text(f"url: {store.url}\nkey: {KEY}\n")
        era5.fetch(2000, 2, tmp_path / "m.nc", **MONTH)
        assert store.tokens == {KEY}
