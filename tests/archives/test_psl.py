"""Outgoing longwave radiation and precipitation in the layouts of NOAA PSL, and their pairing."""

from datetime import datetime, timedelta

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagery_files import hours, plain
from servers.files import FileServer

from slams.archives import psl, psl_files
from slams.errors import ArchiveError

MISSING = -9.96921e36
ROWS, COLUMNS = 9, 16


def radiation(path, count=6, first="2001-12-30", **changes):
    """Twice daily from 30 December 2001, whose values tell time, row and column."""
    values = 200 + 10 * np.arange(count)[:, None, None] + np.arange(ROWS)[:, None]
    values = values + 0.25 * np.arange(COLUMNS)
    keys = {
        "times": hours(first, count, 12, "1800-01-01"),
        "since": "hours since 1800-01-01 00:00:0.0",
        "units": "W/m^2",
        "missing_value": np.float32(MISSING),
        "values": values,
    }
    return plain(path, "olr", **(keys | changes))


def rain(path, count=4, first="2001-12-29", **changes):
    """Daily totals; two columns are sea."""
    values = np.full((count, ROWS, COLUMNS), 1.5, "f4") + np.arange(count)[:, None, None]
    values[:, :, :2] = MISSING
    values[:, 0, 5] = 0.0
    keys = {
        "times": hours(first, count, 24),
        "units": "mm",
        "missing_value": np.float32(MISSING),
        "values": values,
    }
    return plain(path, "precip", **(keys | changes))


def times(*texts):
    return np.array(texts, dtype="datetime64[ns]")


def test_radiation(tmp_path):
    values = radiation(tmp_path / "o.nc")
    with netCDF4.Dataset(values, "a") as file:
        file["olr"].set_auto_maskandscale(False)
        file["olr"][1, 2, 3] = MISSING
    field = psl.open(tmp_path / "o.nc", "olr")
    assert field.dims == ("time", "latitude", "longitude") and field.dtype == np.float32
    assert field.name == "outgoing_longwave_radiation"
    assert field.attrs == {"units": "W m-2", "standard_name": "toa_outgoing_longwave_flux"}
    assert field.time.values[1] == np.datetime64("2001-12-30T12", "ns")
    assert field.latitude.values[[0, -1]].tolist() == [90.0, -90.0]
    assert float(field[4, 3, 2]) == 243.5
    assert np.argwhere(np.isnan(field.values)).tolist() == [[1, 2, 3]]


def test_radiation_in_the_packing_of_older_files(tmp_path):
    raw = np.full((2, ROWS, COLUMNS), -12765, "i2")
    raw[0, 1, 2] = 32766
    keys = {"scale_factor": np.float32(0.01), "add_offset": np.float32(327.65)}
    path = radiation(
        tmp_path / "o.nc", 2, values=raw, kind="i2", missing_value=np.int16(32766), **keys
    )
    field = psl.open(path, "olr")
    assert int(np.isnan(field).sum()) == 1
    np.testing.assert_allclose(field.values[1], 200.0, atol=1e-4)
    with netCDF4.Dataset(path, "a") as file:
        file["olr"].delncattr("scale_factor")
    with pytest.raises(ArchiveError, match=r"o\.nc: olr holds packed integers without"):
        psl.open(path, "olr")


def test_precipitation(tmp_path):
    field = psl.open(rain(tmp_path / "p.nc"), "precipitation")
    assert field.name == "precipitation" and field.units == "mm"
    assert field.time.values[0] == np.datetime64("2001-12-29", "ns")
    sea = np.isnan(field.values).all((0, 1))
    assert np.flatnonzero(sea).tolist() == [0, 1]
    assert float(field[0, 0, 5]) == 0.0  # none is a value
    assert float(field[3, 4, 8]) == 4.5


@pytest.mark.parametrize("units", ["kg m-2 s-1", "0.1 mm", None])
def test_precipitation_in_another_unit_is_told(tmp_path, units):
    with pytest.raises(ArchiveError, match=r"p\.nc: precip is in .*, not in mm; convert"):
        psl.open(rain(tmp_path / "p.nc", units=units), "precipitation")


def test_daily_means_are_no_passes(tmp_path):
    path = radiation(tmp_path / "o.nc", times=hours("2001-12-30", 6, 24, "1800-01-01"))
    with pytest.raises(ArchiveError, match=r"o\.nc holds one time a day: means.* olr\.2xdaily"):
        psl.open(path, "olr")


def test_only_the_times_chosen_are_read_and_one_may_come_twice(tmp_path):
    path = radiation(tmp_path / "o.nc")
    field = psl.open(path, "olr", lambda _: np.array([4, 1, 1]))
    assert field[:, 0, 0].values.tolist() == [240.0, 210.0, 210.0]
    assert psl.open(path, "olr", lambda _: np.arange(0)).sizes["time"] == 0


def test_inspecting_reads_all_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(psl, "BLOCK", 4)
    found = psl.inspect(rain(tmp_path / "p.nc", 9), "precipitation")
    assert len(found["times"]) == 9 and found["times"][-1] == "2002-01-06T00:00:00"
    assert found["missing_fraction"] == pytest.approx(2 / COLUMNS)


def test_a_time_takes_the_nearest_pass_and_of_two_the_earlier():
    labels = hours("2001-12-30", 6, 12, "1970-01-01")
    labels = (np.datetime64("1970-01-01") + labels.astype("timedelta64[h]")).astype("M8[ns]")
    wanted = times("2001-12-30T00", "2001-12-30T06", "2001-12-30T07", "2002-01-01T18")
    places, found = psl.pair("olr", labels, wanted)
    assert places.tolist() == [0, 0, 1, 5] and found.tolist() == [0, 1, 2, 3]
    # The next file begins where this one ends: no time is in both.
    wanted = times("2002-01-01T18", "2002-01-01T19", "2002-01-02T00")
    after = labels[-1] + np.array([12, 24], "m8[h]")
    assert psl.pair("olr", labels, wanted)[1].tolist() == [0]
    assert psl.pair("olr", after, wanted)[1].tolist() == [1, 2]


def test_a_missing_pass_is_not_replaced_by_another():
    labels = times("2001-12-30T00", "2001-12-31T00")
    assert psl.pair("olr", labels, times("2001-12-30T12"))[1].tolist() == []


@given(st.integers(0, 400), st.integers(0, 23), st.sets(st.integers(0, 400), min_size=1))
def test_a_time_takes_the_last_day_that_has_ended(day, hour, there):
    labels = np.datetime64("2001-01-01", "ns") + np.array(sorted(there), "m8[D]")
    wanted = np.datetime64("2001-01-01", "ns") + np.array([day * 24 + hour], "m8[h]")
    places, found = psl.pair("precipitation", labels, wanted)
    assert len(found) == (day - 1 in there)
    for place in places:
        end = labels[place] + np.timedelta64(1, "D")
        assert end <= wanted[0] < end + np.timedelta64(1, "D")


def test_no_file_no_pair():
    for channel in ("olr", "precipitation"):
        assert psl.pair(channel, times(), times("2001-01-01"))[0].tolist() == []


def test_the_files_of_some_times():
    days = [datetime(2001, 1, 1) + timedelta(days=n) for n in range(3)]
    assert psl_files.precipitation_files(days) == ["precip.2000.nc", "precip.2001.nc"]
    assert psl_files.precipitation_files(days[1:]) == ["precip.2001.nc"]
    assert psl_files.olr_files(days) == ["olr.2xdaily.1979-2022.nc"]
    assert psl_files.olr_files([]) == psl_files.precipitation_files([]) == []
    with pytest.raises(ArchiveError, match="has no 2023; leave olr out"):
        psl_files.olr_files([datetime(2022, 12, 31), datetime(2023, 1, 1)])
    with pytest.raises(ArchiveError, match=r"begins with 1979.* there is none of 1978"):
        psl_files.precipitation_files([datetime(1979, 1, 1)])


def test_fetching(tmp_path):
    body = rain(tmp_path / "p.nc").read_bytes()
    path = "/cpc_global_precip/precip.2001.nc"
    with FileServer({path: body}) as far, FileServer() as near:
        addresses = [near.url, far.url]
        target = psl.fetch("precip.2001.nc", tmp_path / "cpc", "precipitation", base_urls=addresses)
        assert target == tmp_path / "cpc/precip.2001.nc" and target.read_bytes() == body
        assert [p for p, _ in near.asked] == [p for p, _ in far.asked] == [path]
        psl.fetch("precip.2001.nc", tmp_path / "cpc", "precipitation", base_urls=addresses)
        assert len(far.asked) == 1
        with pytest.raises(ArchiveError, match="interp_OLR/olr"):
            psl.fetch(psl_files.OLR_FILE, tmp_path, "olr", base_urls=addresses)


@pytest.mark.parametrize("channel", ["olr", "precipitation"])
@given(st.data())
@settings(max_examples=40)
def test_any_damage_gives_a_field_or_an_error_that_names_the_file(tmp_path_factory, channel, data):
    folder = tmp_path_factory.mktemp("damage")
    write = radiation if channel == "olr" else rain
    whole = bytearray(write(folder / "g.nc").read_bytes())
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=20)):
            whole[place] = data.draw(st.integers(0, 255))
    broken = folder / "broken.nc"
    broken.write_bytes(bytes(whole))
    try:
        field = psl.open(broken, channel)
    except ArchiveError as error:
        assert "broken.nc" in str(error)
    else:
        assert field.dims == ("time", "latitude", "longitude") and field.dtype == np.float32


def test_other_files_are_told(tmp_path):
    with pytest.raises(ArchiveError, match=r"p\.nc holds neither olr .* nor outgoing.*precip"):
        psl.open(rain(tmp_path / "p.nc"), "olr")
