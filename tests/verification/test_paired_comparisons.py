"""Paired comparisons: what is compared with what, by how much, and how sure that is."""

import numpy as np
import pandas as pd
import pytest
from made_cells import cell_of, pick, scores_of

from slams import verification
from slams.errors import SlamsError
from slams.verification.resampling import shares

LEVELS = ["500", "850", "all"]
BASELINES = ["climatology", "interpolation", "oi", "letkf"]


def arm(name: str, axis_value: float = 4, **changes: object) -> pd.DataFrame:
    """The scores of a cell called so; of one seed, whatever its members."""
    analysis, classical, statistics = cell_of(cases=12, steps=1, **changes)
    analysis.attrs |= {"arm": name, "axis_value": axis_value}
    return scores_of((analysis, classical, statistics), bootstrap=50)


def merged(*tables: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    return merged(
        arm("first"),
        arm("second", width=1.6, seed=0),
        arm("first", 8, seed=2),
        arm("third", 16, seed=3),
    )


@pytest.fixture(scope="module")
def compared(scores) -> pd.DataFrame:
    return verification.compare(scores, bootstrap=200, seed=4)


def test_every_cell_meets_its_baselines_and_the_reference(compared):
    assert tuple(compared.columns) == verification.COMPARISON_COLUMNS
    assert compared.attrs["reference"] == "first"
    met = {
        key: list(dict.fromkeys(zip(rows["against_arm"], rows["against_method"], strict=True)))
        for key, rows in compared.groupby(["arm", "axis_value"], sort=False)
    }
    assert met == {
        ("first", 4.0): [("first", name) for name in BASELINES],
        ("second", 4.0): [*(("second", name) for name in BASELINES), ("first", "analysis")],
        ("first", 8.0): [("first", name) for name in BASELINES],
        ("third", 16.0): [("third", name) for name in BASELINES],
    }
    for _, rows in compared.groupby(["arm", "axis_value", "against_arm", "against_method"]):
        assert list(rows["score"]) == ["rmse"] * 3 + ["crps"] * 3
        assert list(rows["level"]) == LEVELS * 2
    assert (compared["cases"] == 12).all() and (compared["method"] == "analysis").all()


def test_differences_are_those_of_the_table(compared, scores):
    for row in compared.itertuples(index=False):
        of = scores[scores["axis_value"] == row.axis_value]
        ours = pick(of[of["arm"] == row.arm], "analysis", row.score, row.level)["value"]
        other = of[of["arm"] == row.against_arm]
        theirs = pick(other, row.against_method, row.score, row.level)["value"]
        assert row.difference == pytest.approx(ours - theirs, abs=1e-9)
        assert row.percent == pytest.approx(100 * (ours - theirs) / theirs, abs=1e-6)
        assert row.lower <= row.difference <= row.upper


def test_what_is_better_is_found(compared):
    found = compared.set_index(["arm", "axis_value", "against_method", "score", "level"])
    worse = found.loc[("second", 4.0, "analysis", "crps", "all")]
    assert worse["difference"] > 0 and worse["lower"] > 0 and worse["p_value"] <= 2 / 2**6
    better = found.loc[("first", 4.0, "climatology", "rmse", "all")]
    assert better["upper"] < 0 and better["p_value"] <= 2 / 2**6


def test_another_reference(scores):
    compared = verification.compare(scores, reference="second", bootstrap=50)
    against = compared[compared["against_method"] == "analysis"]
    assert list(against["arm"].unique()) == ["first"]
    assert list(against["against_arm"].unique()) == ["second"]


def test_definitions_survive_the_file(compared, tmp_path):
    compared.to_parquet(tmp_path / "comparisons.parquet", index=False)
    read = pd.read_parquet(tmp_path / "comparisons.parquet")
    pd.testing.assert_frame_equal(read, compared)
    told = ", ".join(read.attrs["definitions"])
    assert all(column in told for column in read.columns)


def test_is_seeded(scores, compared):
    pd.testing.assert_frame_equal(verification.compare(scores, bootstrap=200, seed=4), compared)
    other = verification.compare(scores, bootstrap=200, seed=5)
    assert not other["lower"].equals(compared["lower"])


def test_wrong_tables_are_refused(scores):
    with pytest.raises(SlamsError, match="reference is fourth, an arm that the scores do not have"):
        verification.compare(scores, reference="fourth")
    with pytest.raises(SlamsError, match="no scores of single cases"):
        verification.compare(verification.summary(scores))
    fewer = scores[~((scores["arm"] == "second") & (scores["case"] == "2003-04-21T00"))]
    with pytest.raises(SlamsError, match=r"second and arm first have other cases .* coarse-4"):
        verification.compare(fewer)
    with pytest.raises(SlamsError, match="block is 13: must be 1 to 12"):
        verification.compare(scores, block=13)
    alone = scores[(scores["arm"] == "first") & (scores["method"] == "analysis")]
    with pytest.raises(SlamsError, match="neither a classical analysis nor another arm"):
        verification.compare(alone)
    without = scores[(scores["arm"] != "third") | (scores["method"] != "analysis")]
    with pytest.raises(SlamsError, match="cell coarse-16 of arm third has no scores of its analy"):
        verification.compare(without)


class TestPaired:
    def test_by_hand(self):
        first, second = np.array([[3.0], [1.0]]), np.array([[4.0], [3.0]])
        found = verification.paired("rmse", first, second, bootstrap=500, block=1)
        mean = np.sqrt([5.0, 12.5])
        assert found.difference[0] == pytest.approx(mean[0] - mean[1])
        assert found.percent[0] == pytest.approx(100 * (mean[0] / mean[1] - 1))
        # Either case may be drawn twice.
        assert found.lower[0] == pytest.approx(-2.0) and found.upper[0] == pytest.approx(-1.0)
        assert found.p_value[0] == 0.5

    def test_the_interval_is_of_both_from_the_same_draws(self):
        rng = np.random.default_rng(0)
        common = 3 * rng.normal(size=(24, 1))
        first, second = 9 + common + 0.1 * rng.normal(size=(2, 24, 1))
        found = verification.paired("crps", first, second, bootstrap=400, block=2, seed=3)
        drawn = shares(24, 2, 400, 3) @ (first - second)
        expected = np.quantile(drawn, [0.025, 0.975], axis=0)
        np.testing.assert_allclose([found.lower, found.upper], expected)
        assert found.upper[0] - found.lower[0] < 0.2

    def test_weights_are_repetitions(self):
        rng = np.random.default_rng(1)
        first, second = rng.normal(5, 1, size=(2, 3, 1))
        weighed = verification.paired(
            "rmse", first, second, block=1, weight=np.array([2.0, 0.0, 1.0])
        )
        repeated = verification.paired("rmse", first[[0, 0, 2]], second[[0, 0, 2]], block=1)
        np.testing.assert_allclose(weighed.difference, repeated.difference)
        np.testing.assert_allclose(weighed.percent, repeated.percent)

    def test_a_case_that_counts_nothing_may_be_missing(self):
        first = np.array([[1.0], [np.nan], [2.0], [1.5]])
        weight = np.array([3.0, 0.0, 1.0, 2.0])
        found = verification.paired("crps", first, first + 1, weight=weight, block=1)
        assert found.difference[0] == pytest.approx(-1.0)
        assert found.p_value[0] == pytest.approx(2 / 2**3)
        nothing = verification.paired("crps", first, first, weight=np.zeros(4))
        assert np.isnan(nothing.difference).all() and np.isnan(nothing.p_value).all()

    @pytest.mark.parametrize(("block", "counts"), [(1, [0, 0, 7, 0, 0, 0]), (6, [1] * 6)])
    def test_what_does_not_vary_has_no_interval(self, block, counts):
        """One case that counts, or one block of all: an interval of no width would be sure."""
        first, second = np.random.default_rng(3).normal(5, 1, size=(2, 6, 1))
        weight = np.array(counts, np.float64)
        found = verification.paired("crps", first, second, block=block, weight=weight)
        assert np.isfinite(found.difference).all() and found.p_value == 1
        assert np.isnan(found.lower).all() and np.isnan(found.upper).all()

    def test_equal_methods_do_not_differ(self):
        first = np.random.default_rng(2).normal(5, 1, size=(9, 2))
        found = verification.paired("crps", first, first)
        assert (found.difference == 0).all() and (found.p_value == 1).all()

    def test_refusals(self):
        with pytest.raises(SlamsError, match="bias is not compared"):
            verification.paired("bias", np.ones((2, 1)), np.ones((2, 1)))
        with pytest.raises(SlamsError, match="not of the same cases"):
            verification.paired("rmse", np.ones((2, 1)), np.ones((3, 1)))
