"""Regressions of rows that come in pieces: the same as of all at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slams.observation import rows
from slams.observation.rows import LeastSquares, Rows, median


def cut(values: np.ndarray, at: list[int]) -> list[np.ndarray]:
    return np.split(values, sorted(n % (len(values) + 1) for n in at))


@given(st.integers(0, 2**32 - 1), st.integers(0, 400), st.lists(st.integers(0, 10**6), max_size=5))
def test_rows_come_back_in_their_order(seed, count, at):
    block = np.random.default_rng(seed).standard_normal((count, 3))
    spooled = Rows(3)
    for part in cut(block, at):
        spooled.add(part)
    assert len(spooled) == count
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "ROWS_A_PIECE", 7)
        pieces = list(spooled.pieces())
    assert all(len(piece) == 7 for piece in pieces[:-1])
    np.testing.assert_array_equal(np.concatenate([*pieces, np.zeros((0, 3))]), block)


@given(
    st.lists(st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 1.0 + 2**-52]), min_size=1),
    st.lists(st.integers(0, 10**6), max_size=4),
    st.integers(1, 5),
)
def test_the_median_is_that_of_all_values(values, at, few):
    """However few are looked at together, and however many are equal."""
    parts = cut(np.array(values), at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "FEW", few)
        patch.setattr(rows, "BINS", 3)
        assert median(lambda: parts) == np.median(values)


def test_the_median_of_many_values_needs_few_in_memory():
    values = np.random.default_rng(1).standard_cauchy(300_000)
    assert median(lambda: np.split(values, 30)) == np.median(values)
    assert np.isnan(median(lambda: []))


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 10**6), max_size=5))
def test_least_squares_are_those_of_all_rows(seed, at):
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(60), 280 + 15 * rng.standard_normal((60, 3))])
    observed = design @ rng.standard_normal(4) + rng.standard_normal(60)
    system = LeastSquares(4)
    for one, other in zip(cut(design, at), cut(observed, at), strict=True):
        system.add(one, other)
    expected = np.linalg.lstsq(design, observed, rcond=None)[0]
    np.testing.assert_allclose(system.solve(), expected, rtol=1e-8, atol=1e-8)


def test_predictors_that_say_the_same_share_it():
    """As numpy has it: the smallest coefficients of all that fit alike."""
    rng = np.random.default_rng(2)
    one = rng.standard_normal(500)
    design = np.column_stack([np.ones(500), one, 2 * one])
    observed = 3 * one + rng.standard_normal(500)
    system = LeastSquares(3)
    for some in np.split(np.arange(500), 5):
        system.add(design[some], observed[some])
    expected = np.linalg.lstsq(design, observed, rcond=None)[0]
    np.testing.assert_allclose(system.solve(), expected, rtol=1e-8)


def test_what_is_spooled_is_mapped_as_one_array():
    block = np.random.default_rng(3).standard_normal((7, 2, 3)).astype(np.float32)
    spooled = rows.Spool((2, 3))
    for part in cut(block, [2, 2, 5]):
        spooled.add(part)
    mapped = spooled.mapped()
    np.testing.assert_array_equal(mapped, block)
    assert isinstance(mapped, np.memmap) and not mapped.flags.writeable
    with pytest.raises(ValueError, match=r"\(3, 2\) is no \(2, 3\)"):
        spooled.add(block.reshape(7, 3, 2))
