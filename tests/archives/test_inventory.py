"""Inventories: which files are listed, what they must hold, and their way to common cells."""

import json
import os
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pytest
import xarray as xr
from era5_made import values, write_new

from slams import grid
from slams.archives import era5, inventory
from slams.errors import ArchiveError

GRID = grid.Grid(45.0)
START = datetime(2001, 1, 30)


def days(count, start=START):
    return [start + timedelta(days=day) for day in range(count)]


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def inspector(held):
    """An inspect that knows what each file holds: {path: times}."""

    def inspect(path):
        times = [time.isoformat() for time in held[str(path)]]
        return {"path": str(path), "times": times, "levels": [500.0, 850.0], "members": 1}

    return inspect


def taken(held, wanted, complete=True, year=2001):
    return inventory.take(
        list(held),
        inspector(held),
        archive="era5",
        year=year,
        wanted=wanted,
        complete=complete,
    )


# Which files


def test_a_folder_is_searched_in_the_providers_layouts(tmp_path):
    one = touch(tmp_path / "2001/era5_t_2001-02.nc")
    two = touch(tmp_path / "2001/era5_t_2001-01.nc")
    touch(tmp_path / "2002/era5_t_2002-01.nc")
    touch(tmp_path / "2001/other.nc")
    touch(tmp_path / "2001/.era5_t_2001-03.partial-1.nc")
    assert inventory.files([tmp_path], 2001, "era5_t_*.nc") == [two, one]
    lite = touch(tmp_path / "isd-lite/2001/a.gz")
    full = touch(tmp_path / "global-hourly/2001/a.csv")
    touch(tmp_path / "isd-lite/2001/.b.partial-0123abcd.gz")
    touch(tmp_path / "isd-lite/2001/c.gz.part")
    touch(tmp_path / "isd-lite/2002/a.gz")
    assert inventory.files([tmp_path], 2001, "*.*z") == [lite]
    found = inventory.files([tmp_path / "isd-lite", tmp_path / "global-hourly"], 2001, "*")
    assert found == [full, lite]
    assert inventory.files([tmp_path], 1999, "*") == []


def test_a_manifest_and_files_are_taken_as_they_are(tmp_path):
    manifest = tmp_path / "2001.json"
    listed = [touch(tmp_path / name) for name in ("b.gz", "a.gz")]
    inventory.write({"files": list(map(str, listed))}, manifest)
    found = inventory.files([manifest, str(tmp_path / "c.csv")], 2001, "*.nc")
    assert found == sorted([*listed, tmp_path / "c.csv"])
    listed[0].unlink()
    with pytest.raises(ArchiveError, match=r"2001\.json lists .*b\.gz, which is not there; delete"):
        inventory.files([manifest], 2001, "*.nc")


def test_a_manifest_is_stale_when_files_are_gone_or_time_has_passed(tmp_path):
    manifest, file = tmp_path / "2001.json", touch(tmp_path / "a.gz")
    assert not inventory.is_stale(manifest, datetime(2001, 12, 31), look=True)  # there is none
    inventory.write({"files": [str(file)]}, manifest)
    assert not inventory.is_stale(manifest, datetime(2001, 12, 31), look=True)
    made = datetime(2001, 6, 30, tzinfo=UTC).timestamp()
    os.utime(manifest, (made, made))
    assert not inventory.is_stale(manifest, datetime(2001, 6, 29), look=True)
    assert inventory.is_stale(manifest, datetime(2001, 12, 31), look=False)
    assert not inventory.is_stale(manifest, datetime(2999, 12, 31), look=True)  # yet to come
    file.unlink()
    assert inventory.is_stale(manifest, datetime(2001, 6, 29), look=True)
    assert not inventory.is_stale(manifest, datetime(2001, 6, 29), look=False)


def test_a_file_named_twice_is_listed_once(tmp_path):
    path = touch(tmp_path / "era5/2001/era5_t_2001-01.nc")
    inputs = [tmp_path, tmp_path / "era5", path]
    assert inventory.files(inputs, 2001, "era5_t_*.nc") == [path]


# What they hold


def test_a_whole_year_is_listed(tmp_path):
    held = {"/a.nc": days(2), "/b.nc": days(9)[2:]}
    # The file may hold more than is wanted; other years are not this inventory's.
    wanted = [*days(5), datetime(2002, 1, 1)]
    found = taken(held, wanted)
    assert (found["archive"], found["year"], found["missing_times"]) == ("era5", 2001, [])
    assert [file["path"] for file in found["files"]] == ["/a.nc", "/b.nc"]
    inventory.write(found, tmp_path / "x/inventory.json")
    assert json.loads((tmp_path / "x/inventory.json").read_text()) == found
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["inventory.json"]


def test_missing_times_are_counted_and_shown():
    held = {"/a.nc": days(1)}
    with pytest.raises(ArchiveError) as error:
        taken(held, days(3))
    assert str(error.value) == (
        "archives.era5: 2 of the 3 times that the periods ask of 2001 are in no raw file "
        "(2001-01-31T00, 2001-02-01T00); add the files or change the periods"
    )
    with pytest.raises(ArchiveError, match=r"7 of the 8 .*2001-02-04T00 \.\.\.\);"):
        taken(held, days(8))
    # Another hour of the same day is another time.
    with pytest.raises(ArchiveError, match=r"1 of the 1 .*2001-01-30T12\)"):
        taken(held, [START + timedelta(hours=12)])


def test_an_archive_with_gaps_lists_them():
    found = taken({"/a.nc": days(1)}, days(3), complete=False)
    assert found["missing_times"] == ["2001-01-31T00:00:00", "2001-02-01T00:00:00"]


def test_no_file_at_all_names_the_key():
    with pytest.raises(ArchiveError, match=r"archives\.era5: no raw file for 2001;.*\.paths"):
        taken({}, days(3), complete=False)


def test_a_time_in_two_files_names_both():
    held = {"/a.nc": days(3), "/b.nc": days(3)[2:]}
    with pytest.raises(ArchiveError, match=r"/a\.nc and /b\.nc both hold 2001-02-01T00; give one"):
        taken(held, days(3))
    # A time that nobody asks for does no harm.
    assert taken(held, days(2))["missing_times"] == []


def test_levels_and_members_must_be_those_asked_for():
    content = {"files": [{"path": "a.nc", "levels": [500.0, 850.0], "members": 10}]}
    inventory.check_levels(content, [850, 500], "stack")
    with pytest.raises(ArchiveError, match=r"a\.nc lacks the levels 2\.5, 700 hPa .*key levels"):
        inventory.check_levels(content, [700, 500, 2.5], "stack")
    with pytest.raises(ArchiveError, match=r"a\.nc holds an ensemble of 10.*members: stack"):
        inventory.check_levels(content, [500], "single")


# To common cells


def field(times, latitude, longitude, seed, members=None):
    rng = np.random.default_rng(seed)
    lead = {"time": np.array(times, "datetime64[ns]"), "level": [500.0, 850.0]}
    if members:
        lead = {"number": np.arange(members), **lead}
    shape = [len(values) for values in lead.values()]
    values = rng.normal(260, 9, (*shape, len(latitude), len(longitude))).astype(np.float32)
    return xr.DataArray(
        values,
        dims=(*lead, "latitude", "longitude"),
        coords={**lead, "latitude": latitude, "longitude": longitude},
        name="air_temperature",
        attrs={"units": "K"},
    )


@pytest.fixture
def listed(tmp_path):
    """A function that writes fields to files, and their inventory."""

    def write(fields, year=2001):
        paths = []
        for number, one in enumerate(fields):
            paths.append({"path": str(tmp_path / f"{number}.nc")})
            one.to_netcdf(paths[-1]["path"])
            paths[-1]["times"] = np.datetime_as_string(one["time"].values).tolist()
        inventory.write({"year": year, "files": paths}, tmp_path / "inventory.json")
        return tmp_path / "inventory.json"

    return write


POLES, CELLS = np.linspace(90, -90, 13), np.arange(82.5, -90, -15)
EAST = np.arange(0, 360, 15.0)


def whole(path):
    return [xr.load_dataarray(path)]


def single(path):
    """A file's fields one at a time, as a reader with little memory gives them."""
    with xr.open_dataarray(path) as field:
        for index in range(field.sizes["time"]):
            yield field.isel(time=[index]).load()


def regridded(path, wanted, reader=whole):
    times = inventory.available(path, wanted)
    return xr.concat(inventory.regrid(path, reader, GRID, times), dim="time").sortby("time")


@pytest.mark.parametrize("reader", [whole, single])
def test_every_file_is_regridded_by_its_own_axes(listed, reader):
    fields = [
        field(days(2), POLES, EAST, 0),
        field(days(4)[2:], CELLS, EAST, 1),
        field(days(6)[4:], CELLS, EAST - 180, 2),
        field(days(8)[6:], POLES[::-1], EAST, 3),
    ]
    found = regridded(listed(fields), days(8), reader)
    direct = xr.concat([grid.regrid(one, GRID) for one in fields], dim="time")
    assert found.dims == ("time", "level", "latitude", "longitude")
    assert found.dtype == np.float32 and found.attrs == {"units": "K"}
    xr.testing.assert_equal(found, direct)
    assert np.array_equal(found["latitude"], GRID.latitude)


def test_only_wanted_times_of_the_year_in_their_order(listed):
    fields = [field(days(4)[2:], CELLS, EAST, 1), field(days(2), CELLS, EAST, 0)]
    wanted = [*days(4)[1:], datetime(2002, 1, 30)]
    path = listed(fields)
    times = inventory.available(path, [*wanted, datetime(2001, 12, 1)])
    assert np.array_equal(times, np.array(days(4)[1:], "datetime64[ns]"))
    found = regridded(path, wanted)
    assert np.array_equal(found["time"], times)
    first = grid.regrid(fields[1][1:], GRID)
    xr.testing.assert_equal(found[:1], first)


def test_a_file_without_a_wanted_time_is_not_opened(listed):
    path = listed([field(days(2), CELLS, EAST, 0), field(days(4)[2:], CELLS, EAST, 1)])
    opened = []
    times = inventory.available(path, days(2))
    list(
        inventory.regrid(path, lambda file: (opened.append(file.name), whole(file))[1], GRID, times)
    )
    assert opened == ["0.nc"]


def test_an_ensemble_and_missing_cells_come_through(listed):
    one = field(days(2), CELLS, EAST, 0, members=3)
    one[1, 0, 1, :3, :3] = np.nan  # the cell 90..45 north, 352.5..37.5 east
    found = regridded(listed([one]), days(2))
    assert found.dims == ("number", "time", "level", "latitude", "longitude")
    xr.testing.assert_equal(found.transpose(*one.dims), grid.regrid(one, GRID))
    assert int(np.isnan(found).sum()) == 1


@pytest.mark.parametrize("wanted", [[], [datetime(2001, 7, 1)], [datetime(2002, 1, 30)]])
def test_no_wanted_time_at_all_names_the_inventory(listed, wanted):
    path = listed([field(days(2), CELLS, EAST, 0)])
    with pytest.raises(ArchiveError, match=r"inventory\.json: none of its files .* ask of 2001"):
        inventory.available(path, wanted)


def test_final_data_in_one_file_go_before_preliminary_ones_in_another(tmp_path):
    """As `era5.open` has it, through the inventory, in either order of the files."""
    early, late = values(2), values(2) + 5
    one = days(3)
    final = write_new(tmp_path / "f.nc", one[:2], data=early)
    after = write_new(tmp_path / "p.nc", one[1:], data=late, versions=["0005"] * 2)
    expected = grid.regrid(era5.open([final, after]), GRID)
    for order in ([final, after], [after, final]):
        found = inventory.take(
            order, era5.inspect, archive="era5", year=2001, wanted=one, complete=True
        )
        held = {file["path"]: (file["times"], file["preliminary_times"]) for file in found["files"]}
        texts = [time.isoformat() for time in one]
        assert held == {str(final): (texts[:2], []), str(after): (texts[2:], texts[2:])}
        listed = tmp_path / "inventory.json"
        inventory.write(found, listed)
        times = inventory.available(listed, one)
        pieces = list(inventory.regrid(listed, partial(era5.pieces), GRID, times))
        together = xr.concat(pieces, dim="time").sortby("time")
        np.testing.assert_array_equal(together.values, expected.values)


def test_two_files_that_are_both_preliminary_are_told(tmp_path):
    paths = [
        write_new(tmp_path / name, days(1), data=values(1), versions=["0005"])
        for name in ("a.nc", "b.nc")
    ]
    with pytest.raises(ArchiveError, match=r"a\.nc and .*b\.nc both hold 2001-01-30T00"):
        inventory.take(
            paths, era5.inspect, archive="era5", year=2001, wanted=days(1), complete=True
        )
