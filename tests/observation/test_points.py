"""The state at points: near exact anywhere on the sphere, and linear."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from worlds import GRID, SHAPE, cartesian

from slams.errors import SlamsError
from slams.grid import Grid
from slams.observation import Points

STEPS = 2
LATITUDES = st.one_of(st.floats(-90, 90), st.sampled_from([90.0, -90.0, 89.9, -89.9, 0.0]))
LONGITUDES = st.one_of(
    st.floats(-360, 720), st.sampled_from([0.0, 359.999, 180.0, -180.0, 179.999, 360.0])
)


def direction_of(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])


@given(
    st.lists(st.tuples(LATITUDES, LONGITUDES), min_size=1, max_size=8),
    st.tuples(LATITUDES, LONGITUDES),
    st.sampled_from([2.5, 7.5, 22.5]),
)
@example([(90.0, 10.0), (89.0, 200.0), (-90.0, 0.0), (30.0, 359.9)], (0.0, 0.0), 7.5)
@example([(88.0, 90.0), (-88.0, 270.0), (5.0, 0.0)], (90.0, 0.0), 7.5)
def test_a_field_linear_in_cartesian_coordinates_is_near_exact_anywhere(places, axis, spacing):
    """Across the date line and over the poles too: no seam makes an error."""
    grid = Grid(spacing)
    latitude, longitude = np.array(places).T
    normal = direction_of(*axis)
    field = np.tensordot(normal, cartesian(grid), axes=1)
    read = Points(grid, latitude, longitude)(torch.from_numpy(field)[None, None, None])[0, 0, 0]
    # Linear interpolation errs by h^2 / 8 of the second derivative, at most 1, in each direction.
    bound = np.radians(spacing) ** 2 / 4 + 1e-12
    assert np.abs(read.numpy() - normal @ direction_of(latitude, longitude)).max() <= bound


def test_the_operator_and_its_gradient_are_adjoint():
    rng = np.random.default_rng(0)
    latitude = np.concatenate([np.degrees(np.arcsin(rng.uniform(-1, 1, 30))), [90.0, -89.0]])
    operator = Points(GRID, latitude, rng.uniform(0, 360, 32))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, STEPS, *SHAPE, generator=generator, dtype=torch.float64)
    start = torch.randn(x.shape, generator=generator, dtype=torch.float64).requires_grad_()
    image = operator(start)
    assert image.shape == (2, STEPS, SHAPE[0], 32)
    y = torch.randn(image.shape, generator=generator, dtype=torch.float64)
    (transposed,) = torch.autograd.grad(image, start, y)
    left = float((operator(x) * y).sum())
    assert left == pytest.approx(float((x * transposed).sum()), rel=1e-12)


def test_at_the_centre_of_a_cell_stands_its_value():
    x = torch.randn(1, 1, *SHAPE, generator=torch.Generator().manual_seed(1))
    read = Points(GRID, GRID.latitude[[0, 3, 7]], GRID.longitude[[0, 15, 4]])(x)
    torch.testing.assert_close(read[0, 0], x[0, 0][:, [0, 3, 7], [0, 15, 4]])


def test_what_does_not_fit_is_told():
    with pytest.raises(SlamsError, match="not on the sphere"):
        Points(GRID, [91.0], [0.0])
    with pytest.raises(SlamsError, match=r"grid of 8 x 16 .* fields of 4 x 8: give the grid"):
        Points(GRID, [0.0], [0.0])(torch.zeros(1, 1, 1, 4, 8))
