"""Room on the disk is asked for before a long step."""

from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from slams import room, series
from slams.errors import SlamsError
from slams.store import StoreWriter

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with a kilobyte left."""
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1000))


@pytest.mark.usefixtures("full")
def test_too_little_room_is_told_with_the_numbers(tmp_path: Path) -> None:
    room.check(tmp_path / "not" / "there" / "yet", 900, "this")
    with pytest.raises(SlamsError, match=r"a\.nc needs 5\.1 GB and .* has 1\.0 kB left: free some"):
        room.check(tmp_path / "not" / "there", 5e9, "a.nc")
    with pytest.raises(SlamsError):
        room.check(tmp_path, 1000, "with its headers")


@pytest.mark.usefixtures("full")
def test_regridding_asks_before_it_writes(tmp_path: Path) -> None:
    times = np.arange("2001-01-01", "2001-01-11", dtype="M8[D]").astype("M8[ns]")
    given: list[int] = []

    def pieces() -> object:
        for index in range(10):
            given.append(index)
            field = np.zeros((1, 5, 10), "f4")  # 200 bytes: ten of them are too many
            yield xr.Dataset({"x": (("time", "latitude", "longitude"), field)}).assign_coords(
                time=times[index : index + 1]
            )

    with pytest.raises(SlamsError, match=r"10 times, needs 2\.0 kB"):
        series.write(tmp_path / "fields" / "a.nc", times, pieces(), {})
    assert given == [0]
    assert not list((tmp_path / "fields").iterdir())


@pytest.mark.usefixtures("full")
def test_a_store_asks_before_it_is_begun(tmp_path: Path) -> None:
    StoreWriter(tmp_path / "small.nc", (2, 2, 2), 3)
    with pytest.raises(SlamsError, match=r"50 fields, needs 1\.6 kB"):
        StoreWriter(tmp_path / "train.nc", (2, 2, 2), 50)
    assert not (tmp_path / "train.npy.partial").exists()
