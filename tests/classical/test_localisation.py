"""The taper against its source's formula, and where observations lie."""

import numpy as np
import pytest
import torch
from direct import PLACES, STATIONS, observed, places_of
from hypothesis import given
from hypothesis import strategies as st
from worlds import GRID

from slams.classical.localisation import observation_places
from slams.errors import SlamsError
from slams.observation import Masked, Observation
from slams.tapers import EARTH_RADIUS_KM, distances, gaspari_cohn, taper, unit_vectors


def written_out(z: float) -> float:
    """Gaspari and Cohn (1999), eq. 4.10, with c = 1."""
    if z <= 1:
        return -(z**5) / 4 + z**4 / 2 + 5 * z**3 / 8 - 5 * z**2 / 3 + 1
    if z <= 2:
        return z**5 / 12 - z**4 / 2 + 5 * z**3 / 8 + 5 * z**2 / 3 - 5 * z + 4 - 2 / (3 * z)
    return 0.0


@given(st.floats(0, 5))
def test_the_taper_is_the_papers(distance):
    found = float(gaspari_cohn(torch.tensor(distance, dtype=torch.float64)))
    assert found == pytest.approx(written_out(distance), abs=1e-13)
    assert 0 <= found <= 1


@given(st.lists(st.floats(0, 3), min_size=2, max_size=20))
def test_the_taper_falls(distance):
    ordered = torch.tensor(sorted(distance), dtype=torch.float64)
    assert (torch.diff(gaspari_cohn(ordered)) <= 1e-15).all()
    assert float(gaspari_cohn(torch.tensor(0.0))) == 1.0
    assert float(gaspari_cohn(torch.tensor(2.0))) == 0.0


@given(st.integers(0, 10**6), st.floats(100.0, np.pi * EARTH_RADIUS_KM))
def test_the_taper_is_a_correlation_on_the_sphere(seed, radius):
    """No eigenvalue below zero, at places however near or far."""
    rng = np.random.default_rng(seed)
    places = unit_vectors(rng.uniform(-90, 90, 60), rng.uniform(0, 360, 60))
    matrix = taper(places, places, radius)
    # An angle of nothing comes out as some 1e-8.
    np.testing.assert_allclose(torch.diagonal(matrix), 1.0, atol=1e-9)
    assert float(torch.linalg.eigvalsh(matrix).min()) > -1e-9


def test_distances_are_along_great_circles():
    places = unit_vectors(np.array([90.0, 0.0, 0.0, -90.0, 60.0]), np.array([0.0, 0, 90, 0, 180]))
    found = distances(places, places) / EARTH_RADIUS_KM
    np.testing.assert_allclose(found[0], np.radians([0, 90, 90, 180, 30]), atol=1e-7)
    np.testing.assert_allclose(found[1], np.radians([90, 0, 90, 90, 120]), atol=1e-7)


@pytest.mark.parametrize("kind", ["blocks", "every", "all"])
def test_a_value_lies_where_the_cells_are_that_it_sees(kind, tmp_path):
    case = observed([kind], tmp_path)
    (stream,) = case.observations
    places = observation_places(stream, GRID.latitude, GRID.longitude)
    found, expected = places[stream.seen % len(places)], places_of(case)
    # A block's middle of a latitude band is not quite the middle of its cells on the sphere.
    assert float(distances(found, expected).diagonal().max()) < (700.0 if kind == "blocks" else 1.0)


def test_stations_lie_where_they_are(tmp_path):
    (stream,) = observed(["stations"], tmp_path).observations
    places = observation_places(stream, GRID.latitude, GRID.longitude)
    np.testing.assert_array_equal(places, unit_vectors(*STATIONS))
    assert len(PLACES) == GRID.shape[0] * GRID.shape[1]


def test_an_operator_that_does_not_say_where_is_an_error():
    seen = Masked(np.eye(*GRID.shape, dtype=bool))
    stream = Observation(seen, torch.zeros(2, 3, 8), 1.0, np.arange(2))
    with pytest.raises(SlamsError, match=r"stream background: its operator Masked does not say"):
        observation_places(stream, GRID.latitude, GRID.longitude)
