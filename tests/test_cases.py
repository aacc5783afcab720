"""Which windows a cell looks at."""

import numpy as np
import pytest
from worlds import days, store, weather

from slams.cases import Case, choose_cases, seed_of, validation_cases
from slams.errors import SlamsError

WINDOW = 2
TIMES = days("2003-04-01", 24)


@pytest.fixture(scope="module")
def test_store(tmp_path_factory):
    return store(tmp_path_factory.mktemp("cases"), "test", TIMES, weather(len(TIMES)))


@pytest.mark.parametrize("cases", [1, 2, 5, 17, 23])
def test_cases_are_distinct_and_spread_over_the_period(test_store, cases):
    starts = choose_cases(test_store, cases, WINDOW, 24.0)
    assert len(np.unique(starts)) == cases
    assert starts[0] == 0
    if cases > 1:
        assert starts[-1] == 22
        assert np.ptp(np.diff(starts)) <= 1


def test_a_case_is_a_window_of_the_store(test_store):
    case = Case(test_store, 5, WINDOW)
    np.testing.assert_array_equal(case.truth, test_store.fields[5:7])
    np.testing.assert_array_equal(case.times, TIMES[5:7])


def test_only_possible_windows_count(test_store):
    def late(of, starts):
        assert of is test_store
        return starts[starts >= 20]

    np.testing.assert_array_equal(choose_cases(test_store, 3, WINDOW, 24.0, late), [20, 21, 22])
    with pytest.raises(SlamsError, match=r"holds 3 windows of 2 steps with the field that"):
        choose_cases(test_store, 4, WINDOW, 24.0, late)
    with pytest.raises(SlamsError, match=r"holds 23 windows of 2 steps; lower cases"):
        choose_cases(test_store, 24, WINDOW, 24.0, lambda _, starts: starts)
    found = validation_cases(test_store, WINDOW, 24.0, late)
    assert [case.start for case in found] == [20, 21, 22]
    with pytest.raises(
        SlamsError, match=r"periods.validation holds 0 windows .* with the field that"
    ):
        validation_cases(test_store, WINDOW, 24.0, lambda _, starts: starts[:0])


def test_seeds_differ_and_stay():
    assert seed_of(1, "coarse", 4.0, 0) == seed_of(1, "coarse", 4.0, 0)
    seeds = {seed_of(s, a, v, n) for s in (1, 2) for a in "ab" for v in (2.0, 4.0) for n in (0, 1)}
    assert len(seeds) == 16
    assert all(0 <= seed < 2**63 for seed in seeds)
