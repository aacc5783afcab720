"""The training windows as a sample, and the grid in blocks."""

import numpy as np
import pytest
import torch
from direct import FIELDS, NORMALISATION, STATIONS, STEPS, TIMES, points_of, sample
from hypothesis import given
from hypothesis import strategies as st
from worlds import GRID, IdealPrior, store, weather, with_fields

from slams.classical.blocks import Points, partition
from slams.classical.ensemble import Sample
from slams.errors import SlamsError
from slams.grid import Grid
from slams.observation import BlockMean
from slams.tapers import cell_places, distances, unit_vectors


def all_of(windows: Sample) -> np.ndarray:
    return torch.cat(list(windows.windows())).numpy()


def test_windows_are_spread_over_the_period_and_are_the_stores(tmp_path):
    windows = sample(tmp_path, count=10)
    assert len(windows) == 10 and windows.starts[0] == 0 and windows.starts[-1] == FIELDS - STEPS
    found = all_of(windows)
    assert found.shape == (10, STEPS, *windows.store.shape)
    for start, window in zip(windows.starts, found, strict=True):
        np.testing.assert_array_equal(window, windows.store.window(start, STEPS))
    assert len(sample(tmp_path, count=1000)) == FIELDS - STEPS + 1


def test_a_band_is_a_part_of_the_windows(tmp_path):
    for rotations in (0, 3):
        windows = sample(tmp_path, rotations=rotations)
        band = windows.band(slice(2, 5)).numpy()
        np.testing.assert_array_equal(band, all_of(windows)[:, :, :, 2:5])
    assert np.isfinite(windows.store.fields).all()


def test_departures_are_from_the_climatology_whatever_the_reference(tmp_path):
    """Fields about the global mean, not about the climatology: the same departures."""
    windows = sample(tmp_path)
    other = IdealPrior(STEPS, reference="mean").normalisation
    kelvin = NORMALISATION.to_kelvin(windows.store.fields, TIMES)
    moved = with_fields(windows.store, other.normalise(kelvin, TIMES))
    same = Sample(moved, other, steps=STEPS, step_hours=24.0, count=50)
    np.testing.assert_allclose(all_of(same), all_of(windows), atol=2e-4)
    np.testing.assert_allclose(same.band(slice(1, 4)), windows.band(slice(1, 4)), atol=2e-4)


def test_rotations_are_turned_windows(tmp_path):
    plain, turned = sample(tmp_path, count=10), sample(tmp_path, count=10, rotations=4, seed=5)
    assert len(turned) == 40
    found, once = all_of(turned), all_of(plain)
    for number, turn in enumerate(turned.turns):
        np.testing.assert_array_equal(found[number], np.roll(once[number // 4], turn, -1))
    turns = turned.turns.reshape(10, 4)
    assert all(len(set(of_one)) == 4 for of_one in turns) and len(set(turns[:, 0])) > 3
    again = sample(tmp_path, count=10, rotations=4, seed=5)
    np.testing.assert_array_equal(turned.turns, again.turns)


def test_images_are_what_an_operator_makes_of_departures(tmp_path):
    windows, operator = sample(tmp_path), BlockMean(2)
    about = weather(STEPS, seed=3)
    linear = operator(torch.from_numpy(all_of(windows)))
    np.testing.assert_allclose(windows.images(operator, about), linear, atol=1e-5)

    def squared(x: torch.Tensor) -> torch.Tensor:
        return x[..., 0, 0] ** 2

    base = torch.from_numpy(about)[None]
    expected = squared(base + torch.from_numpy(all_of(windows))) - squared(base)
    np.testing.assert_allclose(windows.images(squared, about), expected, atol=1e-5)


def test_too_few_windows_name_the_key(tmp_path):
    short = store(tmp_path, "short", TIMES[:8], weather(8))
    with pytest.raises(SlamsError, match=r"classical.samples: 50 .* holds 7 windows of 2 steps"):
        Sample(short, NORMALISATION, steps=STEPS, step_hours=24.0, count=50)
    with pytest.raises(SlamsError, match=r"classical.samples: 5 are asked for"):
        sample(tmp_path, count=5)


@given(st.sampled_from([30.0, 22.5, 7.5]), st.floats(300.0, 30000.0), st.integers(0, 10**6))
def test_every_cell_and_station_is_in_one_block(spacing, side, seed):
    grid = Grid(spacing)
    rng = np.random.default_rng(seed)
    places = unit_vectors(rng.uniform(-90, 90, 9), rng.uniform(0, 360, 9))
    cells = (cell_places(grid.latitude, grid.longitude) @ places.T).argmax(0).numpy()
    blocks = partition(
        grid.latitude, grid.longitude, Points(places, cells, torch.zeros(1, 1, 9)), side
    )
    taken = np.concatenate([block.cells for block in blocks])
    np.testing.assert_array_equal(np.sort(taken), np.arange(grid.shape[0] * grid.shape[1]))
    np.testing.assert_array_equal(
        np.sort(np.concatenate([block.stations for block in blocks])), range(9)
    )
    every = cell_places(grid.latitude, grid.longitude)
    for block in blocks:
        assert set(block.cells // grid.shape[1]) == set(range(block.rows.start, block.rows.stop))
        assert float(distances(block.centre, every[block.cells]).max()) <= block.reach_km + 1e-3


def test_stations_are_analysed_where_they_are(tmp_path):
    points = points_of(sample(tmp_path))
    np.testing.assert_array_equal(points.places, unit_vectors(*STATIONS))
    cells = cell_places(GRID.latitude, GRID.longitude)[points.cells]
    assert float(distances(points.places, cells).diagonal().max()) < 2500.0
