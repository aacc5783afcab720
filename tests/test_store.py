"""The training store: which fields it takes, when it counts as whole, what a window is."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from slams import series
from slams.errors import SlamsError
from slams.grid import Grid
from slams.statistics import fit
from slams.store import Store, StoreWriter, build, read_fields, read_images

GRID = Grid(45.0)  # 4 x 8 cells
LEVELS = np.array([500.0, 850.0])
SHAPE = (len(LEVELS), *GRID.shape)
ALWAYS = (datetime(1990, 1, 1), datetime(2030, 1, 1))


def days(count, first="2001-01-01"):
    return np.datetime64(first, "ns") + np.arange(count) * np.timedelta64(1, "D")


def fields(times, seed=0, members=None):
    """air_temperature in K, every field another; with ``members`` an ensemble."""
    rng = np.random.default_rng(seed)
    shape = (len(times), *SHAPE) if members is None else (members, len(times), *SHAPE)
    names = ("time", "level", "latitude", "longitude")
    coords = {"time": times, "level": LEVELS, **GRID.coordinates()}
    if members is not None:
        names, coords = ("number", *names), {**coords, "number": np.arange(members)}
    values = rng.normal(260, 10, shape).astype(np.float32)
    return xr.DataArray(values, dims=names, coords=coords, name="air_temperature")


def write(path: Path, field: xr.DataArray) -> Path:
    field.to_netcdf(path)
    return path


@pytest.fixture(scope="module")
def statistics():
    return fit([fields(days(30), 9)], GRID.area_weights, harmonics=0)


def make(target, times, members=None, values=None):
    """A store of one number a field, counting from 0."""
    times = np.asarray(times)
    writer = StoreWriter(target, (1, 1, 2), len(times))
    count = np.arange(len(times)) if values is None else np.asarray(values)
    writer.add(np.broadcast_to(count[:, None, None, None], (len(times), 1, 1, 2)))
    number = np.zeros(len(times), int) if members is None else np.asarray(members)
    writer.close(xr.Dataset(coords={"time": ("field", times), "number": ("field", number)}))
    return Store(target)


def test_the_store_holds_the_normalised_fields_of_the_period(tmp_path, statistics):
    field = fields(days(10))
    paths = [write(tmp_path / "a.nc", field[:4]), write(tmp_path / "b.nc", field[4:])]
    period = (datetime(2001, 1, 3), datetime(2001, 1, 8))
    build(paths, statistics, period, tmp_path / "store/train.nc", {"seed": "7"})
    store = Store(tmp_path / "store/train.nc")
    expected = field[2:8].values - statistics["reference"].values
    expected = expected / statistics["scale"].values[:, None, None]
    np.testing.assert_allclose(store.fields, expected, atol=1e-6)
    assert store.fields.dtype == np.float32 and not store.fields.flags.writeable
    assert store.shape == SHAPE
    assert np.array_equal(store.times, field["time"].values[2:8])
    assert store.members.tolist() == [0] * 6
    assert store.description.attrs["seed"] == "7"
    assert np.array_equal(store.description["latitude"], GRID.latitude)
    assert np.array_equal(store.description["scale"], statistics["scale"])
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["train.nc", "train.npy"]


def test_a_period_holds_both_its_ends(tmp_path):
    times = np.datetime64("2001-01-01T00", "ns") + np.arange(8) * np.timedelta64(12, "h")
    path = write(tmp_path / "a.nc", fields(times))

    def chosen(*period):
        return [time for piece in read_fields([path], period) for time in piece["time"].values]

    assert chosen(datetime(2001, 1, 2), datetime(2001, 1, 3, 12)) == list(times[2:6])
    assert chosen(datetime(2002, 1, 1), datetime(2002, 1, 2)) == []
    assert chosen(datetime(2001, 1, 2, 0, 0, 1), datetime(2001, 1, 2, 11, 59)) == []


def test_an_ensembles_members_follow_one_another(tmp_path, statistics):
    field = fields(days(4), members=3)
    path = write(tmp_path / "a.nc", field)
    numbers = [int(piece["number"]) for piece in read_fields([path], ALWAYS)]
    assert numbers == [0, 1, 2]
    build([path], statistics, ALWAYS, tmp_path / "s.nc", {})
    store = Store(tmp_path / "s.nc")
    assert store.members.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert store.starts(3, 24).tolist() == [0, 1, 4, 5, 8, 9]
    scale, reference = statistics["scale"].values, statistics["reference"].values[0]
    back = store.window(5, 1)[0] * scale[:, None, None] + reference
    np.testing.assert_allclose(back, field.values[1, 1], atol=1e-4)


def test_images_outside_the_period_are_left_out(tmp_path):
    image = xr.DataArray(
        np.arange(24.0).reshape(3, 2, 4), dims=("time", "latitude", "longitude")
    ).assign_coords(time=days(3))
    path = write(tmp_path / "a.nc", image.rename("brightness_temperature"))
    assert list(read_images([path], (datetime(2002, 1, 1), datetime(2003, 1, 1)))) == []
    (found,) = read_images([path], (datetime(2001, 1, 2), datetime(2001, 1, 2)))
    assert np.array_equal(found, image[1:2])


def test_windows_cross_no_gap_and_no_member(tmp_path):
    times = np.concatenate([days(3), days(4, "2001-01-05"), days(4, "2001-01-09")])
    store = make(tmp_path / "s.nc", times, members=[0] * 7 + [1] * 4)
    assert store.starts(1, 24).tolist() == list(range(11))
    assert store.starts(2, 24).tolist() == [0, 1, 3, 4, 5, 7, 8, 9]
    assert store.starts(4, 24).tolist() == [3, 7]
    assert store.starts(2, 12).tolist() == []
    assert store.starts(5, 24).tolist() == []


def test_a_store_shorter_than_the_window_has_none(tmp_path):
    store = make(tmp_path / "s.nc", days(3))
    for window in (4, 5, 9):
        assert store.starts(window, 24).tolist() == []
    assert store.starts(3, 24).tolist() == [0]


@given(
    gaps=st.lists(st.sampled_from([6, 12, 12, 12, 24]), min_size=1, max_size=14),
    changes=st.sets(st.integers(1, 14), max_size=3),
    window=st.integers(1, 5),
)
def test_every_start_is_one_and_no_other(tmp_path_factory, gaps, changes, window):
    hours = np.concatenate([[0], np.cumsum(gaps)])
    times = np.datetime64("2001-01-01", "ns") + hours * np.timedelta64(1, "h")
    members = np.cumsum([place in changes for place in range(len(times))])
    store = make(tmp_path_factory.mktemp("s") / "s.nc", times, members)
    expected = [
        start
        for start in range(len(times) - window + 1)
        if all(
            hours[i + 1] - hours[i] == 12 and members[i + 1] == members[i]
            for i in range(start, start + window - 1)
        )
    ]
    assert store.starts(window, 12).tolist() == expected


def test_copies_are_writeable_and_leave_the_store_alone(tmp_path):
    store = make(tmp_path / "s.nc", days(6))
    before = (tmp_path / "s.npy").read_bytes()
    window, batch = store.window(2, 3), store.batch(np.array([3, 0]), 2)
    assert window.shape == (3, 1, 1, 2) and batch.shape == (2, 2, 1, 1, 2)
    assert window[:, 0, 0, 0].tolist() == [2, 3, 4]
    assert batch[:, :, 0, 0, 1].tolist() == [[3, 4], [0, 1]]
    for copy in (window, batch):
        assert type(copy) is np.ndarray and copy.flags.writeable
        copy[:] = -1
    assert (tmp_path / "s.npy").read_bytes() == before


def test_a_store_that_is_not_all_there_is_refused(tmp_path):
    target = tmp_path / "train.nc"
    with pytest.raises(SlamsError, match=r"train\.nc.*train\.npy.*not both there"):
        Store(target)
    make(target, days(6))
    (tmp_path / "train.npy").rename(tmp_path / "train.npy.partial")
    with pytest.raises(SlamsError, match="not both there"):
        Store(target)
    np.save(tmp_path / "train.npy", np.zeros((5, 1, 1, 2), np.float32))
    with pytest.raises(SlamsError, match=r"train\.npy: 5 fields, 6 described"):
        Store(target)
    (tmp_path / "train.npy.partial").rename(tmp_path / "train.npy")
    whole = (tmp_path / "train.npy").read_bytes()
    (tmp_path / "train.npy").write_bytes(whole[:-1])
    with pytest.raises(SlamsError, match=r"train\.nc: cannot be read.*build it again"):
        Store(target)
    (tmp_path / "train.npy").write_bytes(whole)
    Store(target).verify()
    described = xr.load_dataset(target)
    described.assign_attrs(layout="0").to_netcdf(target)
    with pytest.raises(SlamsError, match=r"train\.nc: is of layout 0, not 1; delete both"):
        Store(target)


def test_another_array_of_the_same_size_is_found(tmp_path):
    make(tmp_path / "s.nc", days(6))
    content = bytearray((tmp_path / "s.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "s.npy").write_bytes(content)
    with pytest.raises(SlamsError, match=r"s\.npy: its SHA-256 is .* build it again"):
        Store(tmp_path / "s.nc").verify()


def test_a_store_is_built_a_piece_at_a_time_and_read_once(tmp_path, statistics, monkeypatch):
    field = fields(days(10))
    paths = [write(tmp_path / "a.nc", field[:7]), write(tmp_path / "b.nc", field[7:])]
    build(paths, statistics, ALWAYS, tmp_path / "whole.nc", {})
    held = []
    add = StoreWriter.add
    monkeypatch.setattr(series, "PIECE", 2 * field[0].nbytes)
    monkeypatch.setattr(StoreWriter, "add", lambda self, x: (held.append(len(x)), add(self, x)))
    build(paths, statistics, ALWAYS, tmp_path / "pieces.nc", {})
    assert held == [2, 2, 2, 1, 2, 1]
    one, two = Store(tmp_path / "whole.nc"), Store(tmp_path / "pieces.nc")
    assert one.description.attrs["sha256"] == two.description.attrs["sha256"]
    assert np.array_equal(one.fields, two.fields) and np.array_equal(one.times, two.times)


def test_years_on_other_cells_are_not_mixed(tmp_path):
    writer = StoreWriter(tmp_path / "s.nc", (1, 1, 2), 3)
    with pytest.raises(SlamsError, match="same levels and cells"):
        writer.add(np.zeros((1, 1, 1, 3)))


@pytest.mark.parametrize("moment", ["before the array", "before the description"])
def test_a_writer_that_died_leaves_no_store_even_over_an_old_one(tmp_path, monkeypatch, moment):
    target = tmp_path / "train.nc"
    make(target, days(6))

    def die(*_, **__):
        raise KeyboardInterrupt

    if moment == "before the array":
        monkeypatch.setattr(Path, "replace", die)
    else:
        monkeypatch.setattr(xr.Dataset, "to_netcdf", die)
    with pytest.raises(KeyboardInterrupt):
        make(target, days(6), values=np.arange(6) + 100)
    with pytest.raises(SlamsError, match="not both there"):
        Store(target)
    monkeypatch.undo()
    assert make(target, days(2), values=[7, 8]).fields[:, 0, 0, 0].tolist() == [7, 8]


def test_a_writer_counts(tmp_path):
    writer = StoreWriter(tmp_path / "s.nc", (1, 1, 2), 3)
    writer.add(np.zeros((2, 1, 1, 2)))
    with pytest.raises(SlamsError, match=r"s\.nc: 2 fields written, 3 announced"):
        writer.close(xr.Dataset())
    assert not (tmp_path / "s.npy").exists() and not (tmp_path / "s.nc").exists()


def test_a_missing_cell_is_refused_with_its_day(tmp_path, statistics):
    field = fields(days(5))
    field[3, 1, 2, 3] = np.nan
    path = write(tmp_path / "a.nc", field)
    with pytest.raises(SlamsError, match=r"2001-01-04T00 has missing cells"):
        build([path], statistics, ALWAYS, tmp_path / "train.nc", {})
    with pytest.raises(SlamsError, match="not both there"):
        Store(tmp_path / "train.nc")


def test_an_empty_period_names_its_key(tmp_path, statistics):
    path = write(tmp_path / "a.nc", fields(days(5)))
    period = (datetime(2009, 1, 1), datetime(2009, 2, 1))
    with pytest.raises(SlamsError, match=r"2009.* holds no field in 1 .*periods\.validation"):
        build([path], statistics, period, tmp_path / "validation.nc", {})
