"""Blocks of cases, their intervals, and tests of paired differences: how often they are wrong."""

from itertools import product

import numpy as np
import pytest

from slams.errors import SlamsError
from slams.verification.resampling import (
    block_length,
    block_means,
    interval,
    shares,
    sign_flip_p,
    varying,
)


def autoregression(rng: np.random.Generator, count: int, length: int, memory: float) -> np.ndarray:
    """Series (length, count) of variance one whose neighbours are correlated."""
    series = rng.normal(size=(length, count))
    for step in range(1, length):
        series[step] = memory * series[step - 1] + (1 - memory**2) ** 0.5 * series[step]
    return series


class TestBlocks:
    @pytest.mark.parametrize(("cases", "length"), [(1, 1), (4, 1), (8, 2), (24, 2), (27, 3)])
    def test_their_length_is_the_cube_root(self, cases, length):
        assert block_length(cases) == length

    def test_their_length_may_be_given(self):
        assert block_length(24, 6) == 6
        for wrong in (0, 25):
            with pytest.raises(SlamsError, match=r"verification.block is .*must be 1 to 24"):
                block_length(24, wrong)

    @pytest.mark.parametrize(("cases", "block"), [(7, 1), (7, 2), (24, 5), (3, 3)])
    def test_every_case_is_drawn_as_often_as_any(self, cases, block):
        share = shares(cases, block, 20_000, 1)
        np.testing.assert_allclose(share.sum(1), 1.0)
        # Circular: the first and the last case are in as many blocks as the others.
        np.testing.assert_allclose(share.mean(0), 1 / cases, rtol=0.05)

    def test_neighbours_are_drawn_together(self):
        share = shares(12, 4, 2000, 2) * 12
        drawn = share >= 1
        together = (drawn & np.roll(drawn, 1, axis=1)).mean() / drawn.mean()
        assert together > 0.8
        alone = shares(12, 1, 2000, 2) * 12 >= 1
        assert (alone & np.roll(alone, 1, axis=1)).mean() / alone.mean() < 0.7

    def test_whole_blocks_of_a_circle_have_one_resample(self):
        np.testing.assert_allclose(shares(5, 5, 10, 0), 1 / 5)

    def test_the_same_draws_for_as_many_cases(self):
        np.testing.assert_array_equal(shares(9, 2, 50, 3), shares(9, 2, 50, 3))
        assert (shares(9, 2, 50, 3) != shares(9, 2, 50, 4)).any()

    def test_means_of_blocks(self):
        values = np.arange(14.0).reshape(7, 2)
        means = block_means(values, 3)
        np.testing.assert_array_equal(means, [values[:4].mean(0), values[4:].mean(0)])

    def test_the_variance_of_a_correlated_mean_is_found(self):
        """That of a mean of 400 with neighbours correlated by 0.6, which single cases miss."""
        series = autoregression(np.random.default_rng(0), 50, 400, 0.6)
        true = 4.0 / 400  # (1 + 0.6)/(1 - 0.6) times that of independent ones
        by_block = [(shares(400, block, 500, 1) @ series).var(0).mean() for block in (1, 20)]
        assert by_block[0] < 0.3 * true
        assert 0.8 * true < by_block[1] < 1.05 * true


class TestInterval:
    def covered(self, memory: float, block: int, cases: int = 24) -> float:
        """In how many of 400 experiments the interval holds the true mean."""
        series = autoregression(np.random.default_rng(5), 400, cases, memory)
        lower, upper = interval(shares(cases, block, 1000, 0) @ series, cases)
        return float(((lower <= 0) & (upper >= 0)).mean())

    @pytest.mark.parametrize("block", [1, 2])
    def test_covers(self, block):
        """Nearly 95 %: of few cases the spread is known too little, and the tails are cut."""
        assert 0.87 <= self.covered(0.0, block) <= 0.97

    def test_blocks_cover_what_single_cases_do_not(self):
        assert self.covered(0.5, 1, cases=96) < 0.78
        assert self.covered(0.5, 8, cases=96) > 0.86

    def test_one_case_has_none(self):
        lower, upper = interval(np.zeros((10, 3)), 1)
        assert np.isnan(lower).all() and np.isnan(upper).all()

    def test_so_many_cases_vary(self):
        counts = np.array([3.0, 0.0, 1.0, 0.0])
        assert [varying(counts, block) for block in (1, 3, 4)] == [2, 2, 1]
        assert varying(np.ones(1), 1) == 1

    def test_of_normal_draws(self):
        draws = np.random.default_rng(1).normal(size=(200_000, 1))
        np.testing.assert_allclose(interval(draws, 9), [[-1.96], [1.96]], atol=0.02)


class TestSignFlips:
    def test_by_hand(self):
        differences = np.array([3.0, -1.0, 2.0])
        sums = [abs(np.dot(signs, differences)) for signs in product((1, -1), repeat=3)]
        expected = np.mean([found >= 4.0 for found in sums])
        assert sign_flip_p(differences[:, None], 1, 0) == pytest.approx(expected) == 0.5

    def test_the_least_it_can_be(self):
        assert sign_flip_p(np.full((8, 1), -0.1), 1, 0) == pytest.approx(2 / 2**8)
        assert sign_flip_p(np.full((8, 1), -0.1), 2, 0) == pytest.approx(2 / 2**4)
        assert sign_flip_p(np.zeros((8, 1)), 1, 0) == 1.0
        assert sign_flip_p(np.full((1, 1), 5.0), 1, 0) == 1.0

    @pytest.mark.parametrize(
        ("cases", "memory", "block"), [(10, 0.0, 1), (40, 0.0, 2), (60, 0.3, 6)]
    )
    def test_no_difference_is_found_as_rarely_as_stated(self, cases, memory, block):
        series = autoregression(np.random.default_rng(3), 1500, cases, memory)
        p = sign_flip_p(series, block, 0)
        assert 0.03 < (p <= 0.05).mean() < 0.08
        assert 0.16 < (p <= 0.2).mean() < 0.25

    def test_single_cases_that_are_correlated_mislead(self):
        series = autoregression(np.random.default_rng(3), 500, 48, 0.6)
        assert (sign_flip_p(series, 1, 0) <= 0.05).mean() > 0.2

    def test_a_difference_is_found(self):
        series = np.random.default_rng(4).normal(1.0, 1.0, size=(24, 200))
        assert (sign_flip_p(series, 2, 0) <= 0.05).mean() > 0.9

    def test_random_patterns_agree_with_all(self, monkeypatch):
        series = np.random.default_rng(4).normal(0.5, 1.0, size=(12, 20))
        every = sign_flip_p(series, 1, 0)
        monkeypatch.setattr("slams.verification.resampling.EXACT_BLOCKS", 3)
        np.testing.assert_allclose(sign_flip_p(series, 1, 0), every, atol=0.02)

    def test_missing(self):
        p = sign_flip_p(np.array([[1.0, np.nan], [2.0, 1.0]]), 1, 0)
        assert np.isfinite(p[0]) and np.isnan(p[1])
