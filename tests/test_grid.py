"""Cells, conservative regridding and values at points, against direct calculations."""

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from slams.errors import SlamsError
from slams.grid import Grid, Regridder, bilinear, global_mean, regrid
from slams.regridder import latitude_bounds, longitude_bounds


def field_on(latitude, longitude, values):
    return xr.DataArray(
        values,
        dims=(*("time", "level")[: np.ndim(values) - 2], "latitude", "longitude"),
        coords={"latitude": latitude, "longitude": longitude},
        name="air_temperature",
        attrs={"units": "K"},
    )


def smooth(latitude, longitude):
    """A field without a seam or a pole: low-order polynomials of the unit vector, K."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    x, y, z = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)
    return 280.0 + 10.0 * x - 7.0 * y + 20.0 * z + 5.0 * x * y


def direct_overlap_mean(rows, columns, values, cell):
    """The mean over one target cell by summing the area shared with every source cell."""
    low, high, left, right = cell
    total = area = 0.0
    for i, (a, b) in enumerate(rows):
        height = np.sin(np.radians(min(b, high))) - np.sin(np.radians(max(a, low)))
        if height <= 0:
            continue
        for j, (c, d) in enumerate(columns):
            for turn in (-360, 0, 360):
                width = min(d + turn, right) - max(c + turn, left)
                if width > 0 and np.isfinite(values[i, j]):
                    total += height * width * values[i, j]
                    area += height * width
    return total / area if area else np.nan


def test_cells_of_the_design():
    grid = Grid(1.5)
    assert grid.shape == (120, 240)
    np.testing.assert_allclose(grid.latitude[[0, -1]], [89.25, -89.25])
    np.testing.assert_allclose(grid.longitude[[0, -1]], [0.75, 359.25])
    assert grid.area_weights.shape == (120,)
    assert grid.area_weights.mean() == pytest.approx(1.0, abs=1e-14)
    field = xr.DataArray(np.zeros(grid.shape), dims=("latitude", "longitude"))
    assert field.assign_coords(grid.coordinates()).latitude.units == "degrees_north"
    assert Grid(1.5) == Grid(1.5) and hash(Grid(3)) == hash(Grid(3))


@pytest.mark.parametrize("spacing", [0.7, 0.0, -1.5, 360.0, float("nan"), float("inf")])
def test_a_spacing_that_does_not_divide_names_its_key(spacing):
    with pytest.raises(SlamsError, match=r"grid\.spacing"):
        Grid(spacing)


@given(
    value=st.floats(-1e3, 1e3, width=32),
    spacing=st.sampled_from([5.625, 7.5, 9.0, 12.0]),
    rows=st.integers(4, 40),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@settings(deadline=None, max_examples=40)
def test_a_constant_stays_exactly(value, spacing, rows, dtype):
    latitude = 90 - (np.arange(rows) + 0.5) * 180 / rows
    longitude = np.arange(2 * rows) * 180 / rows
    values = np.full((rows, 2 * rows), value, dtype=dtype)
    result = regrid(field_on(latitude, longitude, values), Grid(spacing))
    assert result.dtype == dtype
    assert np.array_equal(result.values, np.full(result.shape, value, dtype=dtype))


@given(
    seed=st.integers(0, 1000),
    rows=st.integers(5, 13),
    columns=st.integers(5, 17),
    layout=st.tuples(st.booleans(), st.booleans()),
    west=st.sampled_from([0.0, -180.0, 3.7]),
)
@settings(deadline=None, max_examples=30)
def test_every_cell_is_the_direct_area_mean(seed, rows, columns, layout, west):
    poles, flip = layout
    random = np.random.default_rng(seed)
    if poles:
        latitude = np.linspace(-90, 90, rows)
        edges = np.concatenate([[-90], 0.5 * (latitude[1:] + latitude[:-1]), [90]])
    else:
        edges = np.linspace(-90, 90, rows + 1)
        latitude = 0.5 * (edges[1:] + edges[:-1])
    longitude = west + np.arange(columns) * 360 / columns
    zones = list(itertools.pairwise(edges))
    sectors = [(middle - 180 / columns, middle + 180 / columns) for middle in longitude]
    values = 280 + 20 * random.standard_normal((rows, columns))
    values[random.random(values.shape) < 0.2] = np.nan
    field = field_on(latitude, longitude, values)
    if flip:
        field = field.isel(latitude=slice(None, None, -1))
    grid = Grid(30.0)
    result = regrid(field, grid, minimum_coverage=0.0).values
    for i in range(grid.shape[0]):
        for j in range(grid.shape[1]):
            cell = (
                grid.latitude_edges[i + 1],
                grid.latitude_edges[i],
                grid.longitude_edges[j],
                grid.longitude_edges[j + 1],
            )
            expected = direct_overlap_mean(zones, sectors, values, cell)
            np.testing.assert_allclose(result[i, j], expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        (np.linspace(90, -90, 61), np.arange(0, 360, 3.0)),
        (np.linspace(-88.5, 88.5, 60), np.arange(-180, 180, 3.0)),
        (np.degrees(np.arcsin(np.polynomial.legendre.leggauss(48)[0])), np.arange(96) * 3.75),
    ],
    ids=["points with poles", "cells south first", "gaussian"],
)
def test_the_global_mean_is_conserved(latitude, longitude, dtype):
    random = np.random.default_rng(0)
    values = (250 + 30 * random.standard_normal((latitude.size, longitude.size))).astype(dtype)
    field = field_on(latitude, longitude, values)
    before = global_mean(field.astype(np.float64))
    after = global_mean(regrid(field, Grid(7.5)).astype(np.float64))
    assert float(after) == pytest.approx(float(before), abs=1e-5 if dtype == np.float32 else 1e-10)


@given(shift=st.integers(0, 47))
@settings(deadline=None, max_examples=20)
def test_turning_the_planet_turns_the_result(shift):
    values = np.random.default_rng(1).standard_normal((24, 48))
    latitude, longitude = Grid(7.5).latitude, Grid(7.5).longitude
    method = Regridder(latitude, longitude, Grid(15.0))
    shift = 2 * shift
    turned = method(np.roll(values, shift, axis=1))
    np.testing.assert_allclose(turned, np.roll(method(values), shift // 2, axis=1), atol=1e-12)


def test_orders_and_ranges_of_longitude_agree():
    latitude, longitude = np.linspace(-90, 90, 37), np.arange(0, 360, 5.0)
    values = smooth(latitude[:, None], longitude[None])
    plain = regrid(field_on(latitude, longitude, values), Grid(15.0))
    field = field_on(latitude, (longitude + 180) % 360 - 180, values)
    np.testing.assert_allclose(regrid(field, Grid(15.0)), plain, atol=1e-10)
    np.testing.assert_allclose(regrid(field.sortby("longitude"), Grid(15.0)), plain, atol=1e-10)
    north_first = field.isel(latitude=slice(None, None, -1))
    np.testing.assert_allclose(regrid(north_first, Grid(15.0)), plain, atol=1e-10)


def test_a_repeated_date_line_column_counts_once():
    latitude, longitude = np.linspace(-90, 90, 37), np.arange(0, 365, 5.0)
    values = smooth(latitude[:, None], longitude[None])
    plain = regrid(field_on(latitude, longitude[:-1], values[:, :-1]), Grid(15.0))
    np.testing.assert_allclose(regrid(field_on(latitude, longitude, values), Grid(15.0)), plain)


def test_the_own_grid_returns_the_field():
    grid = Grid(5.625)
    values = (250 + 30 * np.random.default_rng(0).standard_normal(grid.shape)).astype("f4")
    values[3:5, 60:] = np.nan
    result = regrid(field_on(grid.latitude, grid.longitude, values), grid)
    np.testing.assert_array_equal(result.values, values)


def test_leading_dimensions_names_and_attributes_are_kept():
    source = Grid(7.5)
    values = np.random.default_rng(0).standard_normal((3, 2, *source.shape)).astype("f4")
    field = field_on(source.latitude, source.longitude, values)
    field = field.assign_coords(level=[500, 850]).transpose("latitude", "time", "longitude", ...)
    result = regrid(field, Grid(15.0))
    assert result.dims == ("time", "level", "latitude", "longitude")
    assert result.attrs == field.attrs and result.name == field.name
    assert list(result.level) == [500, 850]
    one = regrid(field.isel(time=1, level=1), Grid(15.0))
    np.testing.assert_array_equal(result.values[1, 1], one.values)


def test_missing_cells_are_left_out_and_too_few_make_a_cell_missing():
    source, grid = Grid(15.0), Grid(30.0)
    values = np.full(source.shape, 300.0)
    values[4, 0] = values[4, 1] = np.nan  # half of the target cell (2, 0), the larger half
    values[4:6, 2:4] = np.nan  # all of the target cell (2, 1)
    values[4:6, 4] = np.nan  # exactly one half of the target cell (2, 2)
    field = field_on(source.latitude, source.longitude, values)
    result = regrid(field, grid).values
    assert result[2, 0] == 300.0  # the seen half lies nearer the equator: more than half
    assert np.isnan(result[2, 1])
    assert result[2, 2] == 300.0
    assert np.isnan(regrid(field, grid, minimum_coverage=0.9).values[2, :3]).all()
    assert np.isfinite(result).sum() == result.size - 1


def test_a_region_covers_only_what_it_has():
    latitude, longitude = np.arange(20, 60, 1.0), np.arange(-30, 31, 1.0)
    values = smooth(latitude[:, None], longitude[None])
    result = regrid(field_on(latitude, longitude, values), Grid(5.0))
    seen = result.where(np.isfinite(result), drop=True)
    assert seen.latitude.min() == 22.5 and seen.latitude.max() == 57.5
    assert set(seen.longitude.values) == {*np.arange(2.5, 30, 5), *np.arange(332.5, 360, 5)}
    expected = smooth(seen.latitude.values[:, None], seen.longitude.values[None])
    np.testing.assert_allclose(seen.values, expected, atol=0.2)


def test_a_region_across_the_date_line_is_one_piece():
    latitude = np.arange(-10, 10, 2.5) + 1.25
    longitude = np.concatenate([np.arange(170, 180, 2.5), np.arange(-180, -170, 2.5)]) + 1.25
    values = np.broadcast_to(longitude % 360.0, (8, 8))
    result = regrid(field_on(latitude, longitude, values), Grid(5.0))
    seen = result.where(np.isfinite(result), drop=True)
    np.testing.assert_allclose(seen.longitude, [172.5, 177.5, 182.5, 187.5])
    np.testing.assert_allclose(seen.values, np.broadcast_to(seen.longitude, seen.shape))


def test_float32_keeps_its_precision():
    latitude, longitude = np.linspace(-70, 69.93, 500), np.linspace(-180, 179.72, 1286)
    random = np.random.default_rng(0)
    values = (200 + 100 * random.random((500, 1286))).astype("f4")
    single = regrid(field_on(latitude, longitude, values), Grid(3.0))
    double = regrid(field_on(latitude, longitude, values.astype("f8")), Grid(3.0))
    assert single.dtype == np.float32
    assert float(np.abs(single - double).max()) < 2e-5
    assert np.isnan(single.sel(latitude=slice(90, 72))).all()


def test_a_wrong_shape_or_axis_is_refused():
    method = Regridder([0.0, 10.0], [0.0, 10.0, 20.0], Grid(10.0))
    with pytest.raises(SlamsError, match="does not lie"):
        method(np.zeros((3, 3)))
    with pytest.raises(SlamsError, match="one order"):
        Regridder([0.0, 10.0, 5.0], [0.0, 10.0], Grid(10.0))
    with pytest.raises(SlamsError, match="outside -90"):
        Regridder([0.0, 100.0], [0.0, 10.0], Grid(10.0))
    with pytest.raises(SlamsError, match="rename"):
        regrid(xr.DataArray(np.zeros((2, 2)), dims=("lat", "lon")), Grid(10.0))


@given(
    latitude=st.lists(st.floats(-90, 90), min_size=1, max_size=20),
    west=st.floats(-180, 360),
    spacing=st.sampled_from([1.5, 5.625, 15.0]),
)
@settings(deadline=None, max_examples=60)
def test_bilinear_weights_sum_to_one_and_reproduce_a_smooth_field(latitude, west, spacing):
    grid = Grid(spacing)
    longitude = (west + 31.0 * np.arange(len(latitude))) % 360
    indices, weights = bilinear(grid, latitude, longitude)
    assert indices.shape == weights.shape == (len(latitude), 4)
    assert indices.dtype == np.int64
    assert np.all((weights >= 0) & (weights <= 1))
    assert indices.min() >= 0 and indices.max() < grid.shape[0] * grid.shape[1]
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-12)
    values = smooth(grid.latitude[:, None], grid.longitude[None]).ravel()
    error = (values[indices] * weights).sum(axis=1) - smooth(np.array(latitude), longitude)
    # Second differences bound the error: amplitude 50 K, (spacing in radians)^2 / 4.
    assert np.abs(error).max() < 50 * np.radians(spacing) ** 2 / 4 + 1e-9


def test_bilinear_across_the_pole_and_the_date_line():
    grid = Grid(30.0)  # rows at 75, 45, ...; columns at 15, 45, ...
    indices, weights = bilinear(grid, [90.0, 75.0, -90.0, 0.0], [15.0, 15.0, 45.0, 0.0])

    def where(point):
        seen = weights[point] > 0
        return {
            (int(i) // 12, int(i) % 12, float(w))
            for i, w in zip(indices[point][seen], weights[point][seen], strict=True)
        }

    assert where(0) == {(0, 0, 0.5), (0, 6, 0.5)}
    assert where(1) == {(0, 0, 1.0)}
    assert where(2) == {(5, 1, 0.5), (5, 7, 0.5)}
    assert where(3) == {(2, 11, 0.25), (2, 0, 0.25), (3, 11, 0.25), (3, 0, 0.25)}


def test_bilinear_refuses_a_position_off_the_sphere():
    with pytest.raises(SlamsError, match="Position 1"):
        bilinear(Grid(10.0), [0.0, 91.0], [0.0, 0.0])
    with pytest.raises(SlamsError, match="Position 0"):
        bilinear(Grid(10.0), [np.nan], [0.0])


def test_the_global_mean_leaves_missing_cells_out():
    grid = Grid(15.0)
    values = np.broadcast_to(np.arange(12.0)[:, None], grid.shape).copy()
    expected = (values * grid.area_weights[:, None]).mean()
    field = field_on(grid.latitude, grid.longitude, values)
    assert float(global_mean(field)) == pytest.approx(expected)
    field = field.where(field.latitude < 0)
    weights = grid.area_weights[6:]
    assert float(global_mean(field)) == pytest.approx((np.arange(6, 12) * weights).mean())
    assert np.isnan(global_mean(field.where(False)))


@st.composite
def regular_axes(draw):
    """Latitudes and longitudes of a regular global grid: with or without poles, any order."""
    rows, columns = draw(st.integers(3, 30)), draw(st.integers(4, 50))
    latitude = np.linspace(90, -90, rows)
    if draw(st.booleans()):
        latitude = 90 - (np.arange(rows) + 0.5) * 180 / rows
    west = draw(st.sampled_from([0.0, -180.0, 3.7, -0.5]))
    longitude = west + np.arange(columns) * 360 / columns
    return latitude[:: draw(st.sampled_from([1, -1]))], longitude


@given(
    axes=regular_axes(),
    spacing=st.sampled_from([60.0, 22.5, 9.0, 7.5, 5.0, 2.0]),
    share=st.sampled_from([0.0, 0.1, 0.7]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_area_means_are_conserved_whatever_is_missing(axes, spacing, share, seed):
    random = np.random.default_rng(seed)
    values = 250 + 30 * random.standard_normal([axis.size for axis in axes])
    values[random.random(values.shape) < share] = np.nan
    grid = Grid(spacing)
    method = Regridder(*axes, grid, minimum_coverage=0.0)
    result, seen = method(values), method(np.isfinite(values).astype(float))
    covered = seen * grid.area_weights[:, None]  # of each cell, the part that was seen
    (south, north), (west, east) = latitude_bounds(axes[0]), longitude_bounds(axes[1])
    height = np.sin(np.radians(north)) - np.sin(np.radians(south))
    area = np.outer(height, east - west) * np.isfinite(values)
    if not area.any():
        assert np.isnan(result).all()
        return
    before = np.nansum(values * area) / area.sum()
    after = np.nansum(result * covered) / covered.sum()
    assert after == pytest.approx(before, abs=1e-6)
    assert covered.sum() / covered.size == pytest.approx(area.sum() / (4 * 180), abs=1e-9)


def test_a_full_image_is_the_direct_area_mean():
    latitude, longitude = -70 + 0.07 * np.arange(2000), -180 + 0.07 * np.arange(5143)
    random = np.random.default_rng(0)
    values = (250 + 30 * random.standard_normal((2000, 5143))).astype("f4")
    values[random.random(values.shape) < 0.2] = np.nan
    values[:, 2000:2300] = np.nan  # a sector that no satellite saw
    grid = Grid(1.5)
    result = Regridder(latitude, longitude, grid, minimum_coverage=0.0)(values)
    south, north = latitude_bounds(latitude)
    west, east = longitude_bounds(longitude)
    # A few cells: inside, at the edge of the image, across the date line, beside the gap.
    for row, column in ((60, 10), (13, 100), (106, 119), (60, 120), (50, 213), (70, 214)):
        high, low = grid.latitude_edges[row : row + 2]
        left, right = grid.longitude_edges[column : column + 2]
        i = np.flatnonzero((north > low) & (south < high))
        turns = np.array([-360.0, 0.0, 360.0])[:, None]
        j = np.flatnonzero(((east + turns > left) & (west + turns < right)).any(axis=0))
        zones = list(zip(south[i], north[i], strict=True))
        sectors = list(zip(west[j], east[j], strict=True))
        part = values[np.ix_(i, j)].astype(float)
        expected = direct_overlap_mean(zones, sectors, part, (low, high, left, right))
        np.testing.assert_allclose(result[row, column], expected, rtol=0, atol=1e-4)
