"""The imagery stream's files by content and by time, whatever product they are of."""

import json
from datetime import datetime, timedelta

import numpy as np
import pytest
import xarray as xr
from imagery_files import FILL, LATITUDE, LONGITUDE, gridsat
from test_psl import radiation, rain

from slams import grid, series
from slams.archives import imagery, inventory
from slams.errors import ArchiveError

CHANNELS = ["irwin_cdr", "irwvp", "olr", "precipitation"]
WANTED = [datetime(2001, 12, 30) + timedelta(days=n) for n in range(4)]
GRID = grid.Grid(22.5)


def raw(value):
    return np.full((1, LATITUDE.size, LONGITUDE.size), value, "i2")


@pytest.fixture
def files(tmp_path):
    """Images of 30 and 31 December, the first of two channels; radiation; precipitation."""
    hour = 280488  # 2001-12-31
    return [
        gridsat(tmp_path / "a.nc", hour - 24, irwin_cdr=raw(5000), irwvp=raw(4000)),
        gridsat(tmp_path / "b.nc", hour, irwin_cdr=raw(5100)),
        radiation(tmp_path / "olr.nc"),
        rain(tmp_path / "p.nc"),
    ]


def take(paths, channels=None, year=2001):
    return imagery.take(paths, channels=channels or CHANNELS, year=year, wanted=WANTED)


def test_files_are_told_apart_by_content(files, tmp_path):
    found = [imagery.held(path) for path in files]
    assert found == [{"irwin_cdr", "irwvp"}, {"irwin_cdr"}, {"olr"}, {"precipitation"}]
    xr.Dataset({"t": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc")
    with pytest.raises(ArchiveError, match=r"other\.nc holds none of irwin_cdr, bright.*\['t'\]"):
        imagery.held(tmp_path / "other.nc")


def test_the_inventory_of_every_channel(files):
    found = json.loads(json.dumps(take(files)))
    assert list(found["channels"]) == CHANNELS
    assert [file["path"] for file in found["files"]] == [str(path) for path in files]
    assert json.loads(inventory.hashes(found)).keys() == {str(path) for path in files}
    lacking = {name: part["missing_times"] for name, part in found["channels"].items()}
    assert lacking == {
        "irwin_cdr": [],
        "irwvp": ["2001-12-31T00:00:00"],
        "olr": [],
        "precipitation": [],
    }
    # Of a file of many times only those of the year are read.
    (file,) = found["channels"]["olr"]["files"]
    assert file["times"] == ["2001-12-30T00:00:00", "2001-12-31T00:00:00"]
    assert file["missing_fraction"] == 0.0


def test_a_year_takes_the_last_day_of_the_year_before(files):
    found = take(files, ["precipitation", "olr", "irwin_cdr"], 2002)
    rain_of = found["channels"]["precipitation"]
    assert rain_of["files"][0]["times"] == ["2002-01-01T00:00:00", "2002-01-02T00:00:00"]
    assert found["channels"]["olr"]["missing_times"] == ["2002-01-02T00:00:00"]
    assert len(found["channels"]["irwin_cdr"]["missing_times"]) == 2


def test_what_a_channel_lacks_and_what_none_asks_for_is_told(files):
    with pytest.raises(ArchiveError, match=r"no file of 2001 holds the channel olr; add its files"):
        take(files[:2], ["irwin_cdr", "olr"])
    with pytest.raises(ArchiveError, match=r"p\.nc holds precipitation, which archives.imagery.ch"):
        take(files, ["irwin_cdr", "olr"])
    with pytest.raises(ArchiveError, match=r"archives\.imagery: no raw file for 2001"):
        take([])
    with pytest.raises(ArchiveError, match=r"both hold 2001-12-31T00"):
        again = files[1].with_name("c.nc")
        again.write_bytes(files[1].read_bytes())
        take([*files, again])


def test_images_come_in_blocks_at_the_wanted_times(files, monkeypatch):
    monkeypatch.setattr(imagery, "BLOCK", 2)
    wanted = np.array(WANTED, dtype="datetime64[ns]")
    blocks = list(imagery.images(files[3], "precipitation", wanted))
    assert [len(block.time) for block in blocks] == [2, 2]
    assert np.concatenate([block.time.values for block in blocks]).tolist() == wanted.tolist()
    # The total of 29 December is that of the field of 30 December, 00 UTC.
    assert float(blocks[0][0, 4, 8]) == 1.5
    assert list(imagery.images(files[1], "irwin_cdr", wanted[:1])) == []


def test_all_channels_on_the_common_cells(files, monkeypatch):
    monkeypatch.setattr(imagery, "BLOCK", 1)
    taken = json.loads(json.dumps(take(files)))
    times = imagery.available(taken, CHANNELS, WANTED)
    assert times.tolist() == np.array(WANTED[:2], dtype="datetime64[ns]").tolist()
    pieces = list(imagery.regrid(taken, CHANNELS, GRID, times))
    assert [dict(piece.sizes) for piece in pieces] == 2 * [
        {"time": 1, "latitude": 8, "longitude": 16}
    ]
    data = xr.concat(pieces, dim="time")
    assert all(variable.dtype == np.float32 for variable in data.data_vars.values())
    vapour = data["water_vapour_brightness_temperature"]
    assert np.isnan(vapour[1]).all() and not np.isnan(vapour[0]).all()
    assert float(data["brightness_temperature"][1, 4, 4]) == pytest.approx(251.0, abs=1e-3)
    assert data["outgoing_longwave_radiation"].units == "W m-2"
    land = np.isfinite(data["precipitation"])
    assert land.any() and not land.all()
    # What the pipeline writes of it.
    series.write(files[0].with_name("fields.nc"), times, pieces, {"seed": "1"})
    with xr.open_dataset(files[0].with_name("fields.nc")) as written:
        xr.testing.assert_allclose(written.drop_attrs(), data.drop_attrs())


def test_a_time_that_one_channel_alone_has_counts(files):
    taken = take(files, ["precipitation", "olr", "irwin_cdr"], 2002)
    with pytest.raises(ArchiveError, match=r"none of its files holds a time .* channel irwin_cdr"):
        imagery.available(taken, ["precipitation", "olr", "irwin_cdr"], WANTED)
    assert len(imagery.available(taken, ["precipitation", "olr"], WANTED)) == 2
    with pytest.raises(ArchiveError, match="has no channel irwvp: ingest it again"):
        imagery.available(taken, ["irwvp"], WANTED)


def test_an_image_that_shows_nothing_is_kept_as_missing(tmp_path):
    path = gridsat(tmp_path / "a.nc", 280488 - 24, irwin_cdr=raw(FILL))
    found = take([path], ["irwin_cdr"])
    assert found["channels"]["irwin_cdr"]["files"][0]["missing_fraction"] == 1.0
    times = imagery.available(found, ["irwin_cdr"], WANTED)
    (piece,) = imagery.regrid(found, ["irwin_cdr"], GRID, times)
    assert piece.sizes["time"] == 1 and np.isnan(piece["brightness_temperature"]).all()
