"""Files of many times, written a piece at a time: what comes back, and what is refused."""

import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest
import xarray as xr

from slams import series
from slams.errors import ArchiveError

TIMES = np.datetime64("2001-01-01", "ns") + np.arange(6) * np.timedelta64(12, "h")


def piece(times, seed=0, members=None, names=("air_temperature",)):
    rng = np.random.default_rng(seed)
    lead = {"number": np.arange(members)} if members else {}
    dims = (*lead, "time", "level", "latitude")
    shape = (*(len(v) for v in lead.values()), len(times), 2, 3)
    return xr.Dataset(
        {name: (dims, rng.normal(260, 9, shape).astype("f4"), {"units": "K"}) for name in names},
        coords={
            **lead,
            "time": times,
            "level": ("level", [500.0, 850.0], {"units": "hPa"}),
            "latitude": [60.0, 0.0, -60.0],
        },
    )


@pytest.mark.parametrize("members", [None, 3])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [4, 5, 0, 3, 1, 2]])
def test_pieces_in_any_order_come_back_as_one(tmp_path, members, order):
    whole = piece(TIMES, members=members, names=("air_temperature", "other"))
    whole["other"][:] = np.nan
    parts = [whole.isel(time=order[:2]), whole.isel(time=order[2:3]), whole.isel(time=order[3:])]
    series.write(tmp_path / "a.nc", TIMES, parts, {"seed": "7"})
    found = xr.load_dataset(tmp_path / "a.nc")
    xr.testing.assert_equal(found, whole.transpose("time", ...))
    assert found.attrs["seed"] == "7" and found["air_temperature"].attrs == {"units": "K"}
    assert found["level"].attrs["units"] == "hPa" and found["air_temperature"].dtype == np.float32
    assert [path.name for path in tmp_path.iterdir()] == ["a.nc"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([TIMES[:5]], r"a\.nc: 1 of 6 times never came, the first 2001-01-03T12"),
        ([TIMES, TIMES[2:3]], r"a\.nc: 2001-01-02T00:00:00 comes twice"),
        ([TIMES[[0, 0]]], r"comes twice"),
        ([TIMES + np.timedelta64(1, "h")], r"2001-01-01T01:00:00 is none of its times"),
    ],
)
def test_a_year_that_is_not_whole_gets_no_name(tmp_path, parts, message):
    with pytest.raises(ArchiveError, match=message):
        series.write(tmp_path / "a.nc", TIMES, [piece(part) for part in parts], {})
    assert not list(tmp_path.iterdir())


def test_pieces_of_two_products_are_refused(tmp_path):
    first, other = piece(TIMES[:3]), piece(TIMES[3:])
    with pytest.raises(ArchiveError, match="differ in level"):
        shifted = other.assign_coords(level=[500.0, 700.0])
        series.write(tmp_path / "a.nc", TIMES, [first, shifted], {})
    with pytest.raises(ArchiveError, match="differ in their fields"):
        series.write(tmp_path / "a.nc", TIMES, [first, other.isel(latitude=[0, 1])], {})
    with pytest.raises(ArchiveError, match="differ in their fields"):
        renamed = other.rename(air_temperature="t")
        series.write(tmp_path / "a.nc", TIMES, [first, renamed], {})


def test_reading_takes_a_piece_at_a_time(tmp_path, monkeypatch):
    whole = piece(TIMES, members=2)
    series.write(tmp_path / "a.nc", TIMES, [whole], {})
    monkeypatch.setattr(series, "PIECE", 2 * 6 * 4)
    first, last = np.datetime64(datetime(2001, 1, 1, 12)), TIMES[-1]
    found = list(series.read(tmp_path / "a.nc", "air_temperature", first, last, number=1))
    assert [one.sizes["time"] for one in found] == [2, 2, 1]
    expected = whole["air_temperature"].sel(number=1)[1:]
    xr.testing.assert_equal(xr.concat(found, "time"), expected)
    assert not list(series.read(tmp_path / "a.nc", "air_temperature", last + 1, last + 2, number=1))


MEMORY = """
import resource, sys
import numpy as np, xarray as xr
from slams import series
series.PIECE = 1 << 22
count, cells = 1500, 50_000  # 300 MB
times = np.datetime64("2001-01-01", "ns") + np.arange(count) * np.timedelta64(1, "h")
def pieces():
    for start in range(0, count, 20):
        part = times[start : start + 20]
        yield xr.Dataset({"x": (("time", "cell"), np.full((len(part), cells), start, "f4"))},
                         coords={"time": part})
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
series.write(sys.argv[1], times, pieces(), {})
total = sum(float(p.values[:, 0].sum()) for p in series.read(sys.argv[1], "x", times[0], times[-1]))
assert total == sum(20 * start for start in range(0, count, 20))
print(peak() - before)
"""


def test_a_file_larger_than_the_piece_takes_no_more_memory(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "a.nc")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "a.nc").stat().st_size > 300e6
    assert int(done.stdout) < 120  # MB, of a file of 300
