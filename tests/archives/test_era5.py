"""ERA5 in every layout, synthetic and real."""

import json

import numpy as np
import pytest
import xarray as xr
from era5_made import LATITUDE, LONGITUDE, days, values, write_new, write_old

from slams.archives import era5
from slams.errors import ArchiveError


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
    data = {"kind": "NETCDF3_64BIT_DATA"}
    later = write_old(tmp_path / "later.nc", days("2001-01-01", 3), values(3), **data).read_bytes()
    cut = tmp_path / "cut.nc"
    for whole in (new, old, later):
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
    [(b"PK\x03\x04", "damaged"), (b"GRIB", "GRIB"), (b"<html>", "web page"), (b"noise", "damaged")],
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
