"""ERA5 in the forms that a request may come back in: zip, GRIB, mixed versions, odd times."""

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import xarray as xr
from era5_made import LATITUDE, LONGITUDE, days, values, write_grib, write_new, write_old

from slams.archives import era5
from slams.errors import ArchiveError


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in members.items():
            archive.write(file, name)
    return path


# Final and preliminary data


def test_a_preliminary_time_gives_way_to_a_final_one(tmp_path):
    data = values(3)
    times = days("2001-01-01", 2)[[0, 1, 0]]
    path = write_new(tmp_path / "a.nc", times, data=data, versions=["0005", "0005", "0001"])
    field = era5.open(path)
    np.testing.assert_array_equal(field.values, data[[2, 1], ::-1])
    found = era5.inspect(path)
    assert found["times"] == ["2001-01-01T00:00:00", "2001-01-02T00:00:00"]
    assert found["preliminary_times"] == ["2001-01-02T00:00:00"]
    same = write_new(tmp_path / "b.nc", times, data=data, versions=["0005"] * 3)
    with pytest.raises(ArchiveError, match=r"b\.nc and .*b\.nc both hold 2001-01-01T00:00"):
        era5.open(same)


def test_final_data_in_one_file_go_before_preliminary_ones_in_another(tmp_path):
    early, late = values(3), values(3) + 5
    final = write_new(tmp_path / "f.nc", days("2001-01-01", 3), data=early)
    after = write_new(tmp_path / "p.nc", days("2001-01-02", 3), data=late, versions=["0005"] * 3)
    expected = np.concatenate([early, late[2:]])[:, ::-1]
    for order in ([final, after], [after, final]):
        np.testing.assert_array_equal(era5.open(order).values, expected)


def test_preliminary_times_of_the_old_layout_are_counted(tmp_path):
    final, preliminary = values(3), values(3) + 5
    final[2] = np.nan
    preliminary[:2] = np.nan
    data = np.stack([final, preliminary], axis=1)
    path = write_old(tmp_path / "mix.nc", days("2001-01-01", 3), data, versions=[1, 5])
    assert len(era5.inspect(path)["preliminary_times"]) == 1


def test_one_version_for_all_times(tmp_path):
    data = xr.open_dataset(write_new(tmp_path / "a.nc", days("2001-01-01", 2))).load()
    for version, count in (("0005", 2), ("0001", 0), (5, 2)):
        data.drop_vars("expver").assign_coords(expver=version).to_netcdf(tmp_path / "b.nc")
        assert len(era5.inspect(tmp_path / "b.nc")["preliminary_times"]) == count


def test_a_real_file_says_that_it_is_preliminary(samples):
    path = samples / "era5" / "single_level_u10_v10_2025-11-04.new-cds.nc"
    with xr.open_dataset(path) as wind:
        versions = wind["expver"].values
    assert set(versions) == {"0005"}
    from slams.archives.era5_layouts import _is_preliminary  # noqa: PLC0415

    assert all(_is_preliminary(version) for version in versions)
    real = era5.inspect(samples / "era5/pressure_levels_2021-02-15.old-cds.nc")
    assert real["times"] and not real["preliminary_times"]


def test_versions_that_cannot_be_told_apart_are_refused(tmp_path):
    dataset = xr.open_dataset(write_new(tmp_path / "a.nc", days("2001-01-01", 2))).load()
    by_level = (("valid_time", "pressure_level"), [["0001", "0005"]] * 2)
    dataset.drop_vars("expver").assign_coords(expver=by_level).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(ArchiveError, match=r"b\.nc: expver has dimensions"):
        era5.open(tmp_path / "b.nc")


# Times and members


def conversion(path, **changes):
    """As GRIB conversions write it: the start of the forecast, its step, and the valid time."""
    starts = np.asarray(days("2001-01-01", 2), "M8[ns]")
    data = xr.Dataset(
        {
            "t": (
                ("time", "isobaricInhPa", "latitude", "longitude"),
                values(2),
                {"units": "K"},
            )
        },
        coords={
            "time": starts,
            "isobaricInhPa": ("isobaricInhPa", [850.0, 500.0], {"units": "hPa"}),
            "step": np.timedelta64(6, "h"),
            "valid_time": ("time", starts + np.timedelta64(6, "h")),
            "latitude": LATITUDE,
            "longitude": LONGITUDE,
        },
    )
    data = changes.get("change", lambda x: x)(data)
    data.to_netcdf(path)
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data,
        lambda data: data.drop_vars("valid_time"),  # then it is the start and the step
        lambda data: data.expand_dims("step", axis=1),
        lambda data: data.rename(time="forecast_reference_time", step="forecast_period"),
        lambda data: data.expand_dims(number=[0]),
        lambda data: data.assign_coords(isobaricInhPa=[85000.0, 50000.0]).assign_coords(
            isobaricInhPa=lambda x: x.isobaricInhPa.assign_attrs(units="Pa")
        ),
    ],
)
def test_fields_are_known_by_when_they_are_valid(tmp_path, change):
    field = era5.open(conversion(tmp_path / "a.nc", change=change))
    assert field.time.values[0] == np.datetime64("2001-01-01T06")
    assert field.dims == ("time", "level", "latitude", "longitude")
    np.testing.assert_array_equal(field.values, values(2)[:, ::-1])


def test_several_steps_are_refused(tmp_path):
    path = conversion(
        tmp_path / "a.nc",
        change=lambda data: xr.concat(
            [data, data.assign_coords(step=np.timedelta64(12, "h"))], dim="step"
        ),
    )
    with pytest.raises(ArchiveError, match=r"a\.nc.*dimensions.*step.*give ERA5 analyses"):
        era5.open(path)


def test_a_single_time_and_level_without_axes(tmp_path):
    whole = xr.open_dataset(write_new(tmp_path / "a.nc", days("2001-01-01", 2))).load()
    whole.isel(valid_time=1, pressure_level=0).to_netcdf(tmp_path / "b.nc")
    field = era5.open(tmp_path / "b.nc")
    assert field.shape == (1, 1, 7, 8) and field.level == 850
    np.testing.assert_array_equal(field.values[0, 0], values(2)[1, 0])


# Zip


def test_a_zip_of_parts_is_joined_in_time(tmp_path):
    one = write_new(tmp_path / "1.nc", days("2001-01-03", 2))
    two = write_old(tmp_path / "2.nc", days("2001-01-01", 2), values(2))
    wind = tmp_path / "3.nc"
    xr.Dataset({"u": ("x", [1.0])}).to_netcdf(wind)
    (tmp_path / "readme.txt").write_text("words")
    members = {
        "data_stream-oper.nc": one,
        "../../evil.nc": two,
        "wind.nc": wind,
        "readme.txt": tmp_path / "readme.txt",
    }
    path = zipped(tmp_path / "a.nc", members)
    field = era5.open(path)
    assert np.all(np.diff(field.time.values) == np.timedelta64(1, "D")) and field.time.size == 4
    xr.testing.assert_identical(field, era5.open([one, two]))
    assert era5.inspect(path)["levels"] == [500, 850]
    assert not (tmp_path.parents[1] / "evil.nc").exists()


def test_what_is_wrong_in_a_zip_is_named_with_its_member(tmp_path):
    one = write_new(tmp_path / "1.nc", days("2001-01-01", 2))
    other = write_new(tmp_path / "2.nc", days("2001-01-03", 2), levels=(850, 700))
    with pytest.raises(ArchiveError, match=r"a\.zip: two\.nc and .*a\.zip: one\.nc differ in leve"):
        era5.open(zipped(tmp_path / "a.zip", {"one.nc": one, "two.nc": other}))
    with pytest.raises(ArchiveError, match=r"a\.zip: one\.nc and .*a\.zip: two\.nc both hold"):
        era5.open(zipped(tmp_path / "a.zip", {"one.nc": one, "two.nc": one}))
    (tmp_path / "t.txt").write_text("words")
    with pytest.raises(ArchiveError, match=r"a\.zip is a zip without a netCDF or GRIB"):
        era5.open(zipped(tmp_path / "a.zip", {"t.txt": tmp_path / "t.txt"}))
    cut = zipped(tmp_path / "a.zip", {"one.nc": one}).read_bytes()
    (tmp_path / "a.zip").write_bytes(cut[:-30])
    with pytest.raises(ArchiveError, match=r"a\.zip cannot be read"):
        era5.open(tmp_path / "a.zip")


def test_the_land_mask_in_a_zip(tmp_path):
    mask = xr.Dataset(
        {"lsm": (("valid_time", "latitude", "longitude"), np.full((1, 7, 8), 0.5))},
        coords={"latitude": LATITUDE, "longitude": LONGITUDE},
    )
    mask.to_netcdf(tmp_path / "m.nc")
    other = write_new(tmp_path / "t.nc", days("2001-01-01", 1))
    path = zipped(tmp_path / "a.zip", {"t.nc": other, "m.nc": tmp_path / "m.nc"})
    assert (era5.open_land_mask(path) == 0.5).all()


# GRIB


def test_grib_of_two_versions(tmp_path):
    pytest.importorskip("cfgrib")
    data, late = values(3), values(3) + 5
    path = write_grib(tmp_path / "a.grib", days("2001-01-01", 3), data)
    write_grib(path, days("2001-01-03", 2), late[:2], version="0005")
    field = era5.open(path)
    assert field.level.values.tolist() == [500, 850] and field.time.size == 4
    expected = np.concatenate([data, late[1:2]])[:, ::-1]
    np.testing.assert_allclose(field.values, expected, atol=0.002)
    assert len(era5.inspect(path)["preliminary_times"]) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["a.grib"]  # no index beside it
    netcdf = write_new(tmp_path / "b.nc", days("2001-01-05", 1))
    joined = zipped(tmp_path / "a.zip", {"a.grib": path, "b.nc": netcdf})
    assert era5.open(joined).time.size == 5


def test_a_grib_ensemble(tmp_path):
    pytest.importorskip("cfgrib")
    members = values(2, members=3)
    for number in range(3):
        write_grib(tmp_path / "a.grib", days("2001-01-01", 2), members[:, number], number=number)
    field = era5.open(tmp_path / "a.grib")
    assert field.dims[:2] == ("time", "number") and field.number.values.tolist() == [0, 1, 2]
    np.testing.assert_allclose(field.values, members[..., ::-1, :, :], atol=0.002)


def test_a_grib_message_that_comes_twice_is_refused(tmp_path):
    pytest.importorskip("cfgrib")
    path = write_grib(tmp_path / "a.grib", days("2001-01-01", 2), values(2))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 4])
    with pytest.raises(ArchiveError, match=r"a\.grib holds 5 GRIB messages"):
        era5.open(path)


def test_cut_or_incomplete_grib_is_named(tmp_path):
    pytest.importorskip("cfgrib")
    whole = write_grib(tmp_path / "a.grib", days("2001-01-01", 2), values(2)).read_bytes()
    message = len(whole) // 4
    for size, reason in [
        (5, "cut or damaged"),
        (len(whole) - 1, "cut or damaged"),
        (len(whole) - message, "holds no value at 500 hPa"),
    ]:
        (tmp_path / "cut.grib").write_bytes(whole[:size])
        with pytest.raises(ArchiveError, match=rf"cut\.grib.*{reason}"):
            era5.inspect(tmp_path / "cut.grib")


def test_grib_without_cfgrib_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.grib").write_bytes(b"GRIB" + bytes(96))
    monkeypatch.setitem(sys.modules, "cfgrib", None)
    with pytest.raises(ArchiveError, match=r"a\.grib is GRIB.*pip install cfgrib"):
        era5.open(tmp_path / "a.grib")


# Piece by piece


@pytest.mark.parametrize("limit", [1, 2 * 2 * 7 * 8 * 4, 1 << 20])
def test_pieces_together_are_the_whole(tmp_path, limit):
    path = write_new(tmp_path / "a.nc", days("2001-01-01", 7))
    found = list(era5.pieces(path, limit=limit))
    assert [piece.sizes["time"] for piece in found] == {1: [1] * 7, 896: [2, 2, 2, 1]}.get(
        limit, [7]
    )
    xr.testing.assert_identical(xr.concat(found, "time"), era5.open(path))
    one = xr.concat(era5.pieces(path, [850], limit=limit), "time")
    xr.testing.assert_identical(one, era5.open(path, [850]))


def test_pieces_are_checked(tmp_path):
    data = values(3)
    data[2, 0, 0, 0] = 20.0
    pieces = era5.pieces(write_new(tmp_path / "a.nc", days("2001-01-01", 3), data=data), limit=1)
    assert next(pieces).time.size == next(pieces).time.size == 1
    with pytest.raises(ArchiveError, match=r"a\.nc holds 20 K"):
        next(pieces)


def test_pieces_follow_what_the_file_stores_together(tmp_path):
    path = write_new(tmp_path / "a.nc", days("2001-01-01", 9))
    data = xr.load_dataset(path)
    data.to_netcdf(path, encoding={"t": {"chunksizes": (3, 2, 7, 8), "zlib": True}})
    sizes = [piece.sizes["time"] for piece in era5.pieces(path, limit=5 * 2 * 7 * 8 * 4)]
    assert sizes == [3, 3, 3]


MEASURE = """
import resource, sys
from slams.archives import era5
limit = 16 << 20
next(era5.pieces(sys.argv[1], limit=1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(piece.sizes["time"] for piece in era5.pieces(sys.argv[1], limit=limit))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_file_much_larger_than_the_limit_takes_little_memory(tmp_path):
    times = np.arange("2001-01-01", "2001-02-10", np.timedelta64(6, "h"), "M8[ns]")
    latitude, longitude = np.linspace(90, -90, 181), np.arange(0, 360, 1.0)
    data = np.full((times.size, 2, 181, 360), 250.0, "f4")
    path = write_new(tmp_path / "a.nc", times, data=data, latitude=latitude, longitude=longitude)
    assert data.nbytes > 80e6
    run = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert int(done.stdout) < 64 << 10  # KiB: the piece, and what reading it takes
