"""The paper's distance against scipy's, and against closed forms."""

import numpy as np
import pytest
from made_cells import field
from scipy.stats import norm, wasserstein_distance

from slams import verification
from slams.errors import SlamsError
from slams.verification.wasserstein import distance, excess


@pytest.mark.parametrize("members", [1, 2, 7])
def test_agrees_with_scipy(members):
    rng = np.random.default_rng(members)
    truth = rng.normal(280, 9, 500).astype(np.float32)
    values = rng.gamma(2.0, 9.0, 500 * members).astype(np.float32) + 262
    expected = wasserstein_distance(values, truth)
    assert distance(values, truth) == pytest.approx(expected, rel=1e-5)


def test_of_two_gaussians():
    """Of N(a, s) and N(b, s) it is |a - b|; of N(0, s) and N(0, t) |s - t| sqrt(2/pi)."""
    ordered = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    assert distance(2 * ordered + 3, 2 * ordered - 1) == pytest.approx(4.0)
    expected = 3 * (2 / np.pi) ** 0.5
    assert distance(5 * ordered, 2 * ordered) == pytest.approx(expected, rel=1e-3)


def test_places_do_not_matter_and_levels_do():
    rng = np.random.default_rng(0)
    truth = field(rng.normal(size=(3, 2, 6, 12)), case=3, level=2)
    shuffled = truth.copy()
    for level in range(2):
        values = truth[:, level].values.ravel()
        shuffled[:, level] = rng.permutation(values).reshape(truth[:, level].shape)
    np.testing.assert_allclose(verification.wasserstein(shuffled, truth), 0.0, atol=1e-12)
    assert verification.rmse(shuffled, truth).min() > 1.0
    warm = truth + field([[[1.0]], [[-2.0]]], level=2)
    found = verification.wasserstein(warm, truth)
    assert found.dims == ("level",)
    np.testing.assert_allclose(found, [1.0, 2.0])


def test_all_members_are_pooled():
    rng = np.random.default_rng(1)
    ensemble = field(rng.normal(size=(5, 6, 12)), member=5)
    truth = field(rng.normal(size=(6, 12)))
    expected = wasserstein_distance(ensemble.values.ravel(), truth.values.ravel())
    assert verification.wasserstein(ensemble, truth).item() == pytest.approx(expected)


def test_the_grid_of_a_bootstrap_gives_the_pooled_distance_of_any_cases():
    rng = np.random.default_rng(2)
    values = np.sort(rng.normal(0, [[1.0], [2.0], [0.5]], (3, 3000)))
    truth = np.sort(rng.normal(0.3, 1.0, (3, 1500)))
    above, step = excess(values, truth)
    for share in ([1 / 3] * 3, [1, 0, 0], [0, 2 / 3, 1 / 3]):
        chosen = [case for case, part in enumerate(share) for _ in range(round(3 * part))]
        expected = distance(values[chosen].ravel(), truth[chosen].ravel())
        found = np.abs(np.array(share) @ above).sum() * step
        assert found == pytest.approx(expected, abs=0.1 * step + 1e-4)


def test_samples_that_are_no_multiples():
    with pytest.raises(SlamsError, match="5 values against 3"):
        distance(np.zeros(5), np.zeros(3))
    with pytest.raises(SlamsError, match="along case"):
        verification.wasserstein(field(case=2), field(case=3))
