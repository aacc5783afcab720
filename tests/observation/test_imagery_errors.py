"""What errors that are alike take from an observation's weight, against the exact answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slams.observation.imagery_errors import (
    REDUNDANT,
    channel_correlation,
    channel_factors,
    correlation_inflation,
    pixel_factors,
)


def test_correlated_errors_count_for_less():
    random = np.random.default_rng(0)
    white = random.standard_normal((60, 40, 80))
    times = np.datetime64("2001-01-01", "ns") + np.arange(60) * np.timedelta64(1, "D")
    assert correlation_inflation(white, times) == pytest.approx(1, abs=0.05)
    # The mean of two neighbours in longitude correlates by a half with the next such mean.
    pairs = (white + np.roll(white, 1, axis=-1)) / np.sqrt(2)
    assert correlation_inflation(pairs, times) == pytest.approx(2, abs=0.1)
    days = (white[1:] + white[:-1]) / np.sqrt(2)
    assert correlation_inflation(days, times[1:]) == pytest.approx(2, abs=0.1)
    # Days that do not follow one another say nothing of the correlation in time.
    assert correlation_inflation(days[::2], times[1::2]) == pytest.approx(1, abs=0.05)
    missing = np.where(random.random(pairs.shape) < 0.3, np.nan, pairs)
    assert correlation_inflation(missing, times) == pytest.approx(2, abs=0.1)
    assert correlation_inflation(2 * white, times) == pytest.approx(4, abs=0.2)


def test_the_errors_of_channels_are_compared_where_both_were_seen():
    random = np.random.default_rng(1)
    own = random.standard_normal((50, 3, 20, 40))
    errors = own.copy()
    errors[:, 1] = 0.6 * own[:, 0] + 0.8 * own[:, 1]
    errors[:, 2] = -3 * own[:, 0]
    errors[:25, 0, 0] = errors[25:, 1, 0] = np.nan
    found = channel_correlation(errors)
    expected = [[1, 0.6, -1], [0.6, 1, -0.6], [-1, -0.6, 1]]
    np.testing.assert_allclose(found, expected, atol=0.02)
    errors[:25, 0] = errors[25:, 1] = np.nan
    assert channel_correlation(errors)[0, 1] == 0.0


def test_the_factors_of_two_channels():
    assert channel_factors(np.eye(1), np.array([0.3])).tolist() == [1.0]
    assert channel_factors(np.eye(3), np.array([0.3, 2.0, 1.0])).tolist() == [1.0, 1.0, 1.0]
    same = channel_factors(np.ones((2, 2)), np.array([1.5, 1.5]))
    np.testing.assert_allclose(same, 2.0, rtol=1e-3)
    # A weak channel that errs as a strong one does says nothing more.
    half = np.array([[1, 0.5], [0.5, 1]])
    np.testing.assert_allclose(channel_factors(half, np.array([2.0, 0.5])), [1.0, REDUNDANT])
    # And channels of which nothing is known share alike.
    np.testing.assert_allclose(channel_factors(half, np.zeros(2)), 1.5, rtol=1e-3)


@st.composite
def channels(draw):
    """Correlations of two to four channels, of any sign, and their strengths."""
    count = draw(st.integers(2, 4))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    mixing = random.standard_normal((count, draw(st.integers(1, 5))))
    covariance = mixing @ mixing.T + draw(st.sampled_from([1e-3, 0.3, 3.0])) * np.eye(count)
    deviation = np.sqrt(np.diag(covariance))
    return covariance / np.outer(deviation, deviation), random.uniform(0, 2, count)


@given(channels())
def test_nothing_is_counted_twice_and_no_channel_makes_the_others_say_less(drawn):
    correlation, strength = drawn
    factors = channel_factors(correlation, strength)
    assert (factors >= 1 - 1e-9).all()
    # In no direction is the error taken for smaller than it is (a redundant channel's is finite).
    least = np.linalg.eigvalsh(np.diag(factors) - correlation)[0]
    assert least > -0.05
    information = (strength**2 / factors).sum()
    assert information >= 0.99 * (strength**2).max()
    # The weights are those of the best linear estimate: it is as good as it claims to be.
    weight = strength / factors / information
    claimed = 1 / information
    made = weight @ correlation @ weight
    assert made <= 1.05 * claimed


@pytest.mark.parametrize("correlation", [-0.8, 0.0, 0.3, 0.8])
def test_an_analysis_of_two_channels_is_calibrated(correlation):
    """A scalar world: draws, weighted by inflated independent errors, against their own claim."""
    random = np.random.default_rng(2)
    strength = np.array([1.0, 0.9])
    alike = np.array([[1, correlation], [correlation, 1]])
    truth = 2 * random.standard_normal(200_000)
    noise = random.multivariate_normal(np.zeros(2), alike, len(truth))
    seen = truth[:, None] * strength + noise
    precision = strength / channel_factors(alike, strength)
    claimed = 1 / (precision @ strength + 1 / 4)
    made = np.mean((truth - claimed * (seen @ precision)) ** 2)
    alone = 1 / (strength[0] ** 2 + 1 / 4)
    assert made <= 1.02 * claimed
    assert claimed < alone
    if correlation >= 0:
        assert made == pytest.approx(claimed, rel=0.02)
    # Taken as independent, channels that err alike would promise too much.
    naive = 1 / (strength @ strength + 1 / 4)
    if correlation > 0.5:
        spurious = np.mean((truth - naive * (seen @ strength)) ** 2)
        assert spurious > 1.2 * naive


def test_only_channels_that_a_pixel_has_together_count():
    seen = np.ones((2, 2, 3, 4), bool)
    seen[0, 0, 1] = seen[1, 1, 2] = seen[0, :, 0, 0] = False
    alike = np.array([[1, 0.5], [0.5, 1]])
    found = pixel_factors(alike, np.ones(2), seen)
    both = np.broadcast_to(seen.all(1, keepdims=True), seen.shape)
    np.testing.assert_allclose(found[both], 1.5, rtol=1e-3)
    assert (found[~both] == 1.0).all()
