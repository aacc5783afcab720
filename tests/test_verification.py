"""Scores against closed forms, hand-made examples and calibrated worlds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scoringrules
import xarray as xr

from slams import verification
from slams.errors import SlamsError
from slams.grid import Grid

GRID = Grid(30.0)
CELLS = {"latitude": GRID.latitude, "longitude": GRID.longitude}
LEVELS = np.array([500.0, 850.0, *range(1000, 1200)])


def field(values: object = 0.0, **leading: int) -> xr.DataArray:
    """A field of any leading dimensions, `values` broadcast to its shape."""
    shape = (*leading.values(), *GRID.shape)
    data = np.broadcast_to(np.asarray(values, np.float64), shape).copy()
    coords = CELLS | ({"level": LEVELS[: leading["level"]]} if "level" in leading else {})
    return xr.DataArray(data, coords, (*leading, "latitude", "longitude"))


def analysis_of(
    *,
    cases: int = 4,
    members: int = 8,
    steps: int = 2,
    levels: int = 2,
    seed: int = 0,
    calibrated: bool = True,
) -> xr.Dataset:
    """A cell whose truth and members are drawn from one Gaussian about an estimate."""
    rng = np.random.default_rng(seed)
    shape = {"case": cases, "step": steps, "level": levels}
    full = (cases, steps, levels, *GRID.shape)
    estimate = rng.normal(size=full)
    truth = field(estimate + rng.normal(size=full), **shape)
    width = 1.0 if calibrated else 0.5
    noise = rng.normal(size=(members, *full)) * width
    ensemble = field(estimate + noise, member=members, **shape)
    data = xr.Dataset(
        {
            "analysis": ensemble.transpose("case", "member", ...),
            "truth": truth,
            "interpolation": field(estimate + 2 * rng.normal(size=full), **shape),
            "climatology": field(0.0, **shape),
            "climatology_spread": field(2**0.5, level=levels),
        },
        attrs={"arm": "pixel+background", "axis": "coarse", "axis_value": 4, "seed": 3},
    )
    return data.astype(np.float32)


def pick(scores: pd.DataFrame, method: str, score: str, level: str = "all") -> pd.Series:
    chosen = scores.query("method == @method and score == @score and level == @level")
    assert len(chosen) == 1
    return chosen.iloc[0]


class TestAreas:
    def test_an_error_at_the_equator_weighs_more_than_one_at_the_pole(self):
        polar, equatorial = field(), field()
        polar[0] = 1.0
        equatorial[2] = 1.0
        # The rows 60..90 and 0..30 take (1 - sin 60)/2 and (sin 30)/2 of the sphere.
        assert verification.bias(polar, field()).item() == pytest.approx((1 - 0.75**0.5) / 2)
        assert verification.bias(equatorial, field()).item() == pytest.approx(0.25)
        assert verification.rmse(equatorial, field()).item() == pytest.approx(0.5)

    def test_weights_do_not_depend_on_the_order_of_rows(self):
        south_first = verification.area_weights(field()["latitude"][::-1])
        np.testing.assert_allclose(south_first, GRID.area_weights)

    def test_other_dimensions_are_kept(self):
        ensemble = field(1.0, case=3, member=2, level=2)
        truth = field(0.0, case=3, level=2)
        for score in (verification.rmse, verification.bias, verification.crps):
            assert score(ensemble, truth).dims == ("case", "level")

    def test_rows_that_are_not_a_global_grid_are_refused(self):
        with pytest.raises(SlamsError, match="regrid"):
            verification.area_mean(field()[1:])

    def test_a_field_without_cells_is_refused(self):
        with pytest.raises(SlamsError, match="longitude"):
            verification.area_mean(field().isel(longitude=0, drop=True))


class TestCrps:
    def test_two_members_by_hand(self):
        ensemble = field([[[0.0]], [[3.0]]], member=2)
        # mean |x - 1| = 1.5; the one pair differs by 3: 1.5 - 3/2.
        assert verification.crps(ensemble, field(1.0)).item() == pytest.approx(0.0)
        assert verification.crps(ensemble, field(5.0)).item() == pytest.approx(2.0)

    @pytest.mark.parametrize("members", [2, 5, 20])
    def test_fair_for_any_number_of_members(self, members):
        rng = np.random.default_rng(1)
        draws = field(rng.normal(size=(400, members, *GRID.shape)), case=400, member=members)
        value = verification.crps(draws, field(0.3, case=400)).mean().item()
        exact = scoringrules.crps_normal(0.3, 0.0, 1.0)
        assert value == pytest.approx(exact, abs=0.01)

    def test_agrees_with_another_estimator_that_is_equal_algebraically(self):
        rng = np.random.default_rng(2)
        draws = rng.normal(280.0, 2.0, size=(40, 7, *GRID.shape))
        truth = field(rng.normal(280.0, 2.0, size=(40, *GRID.shape)), case=40)
        value = verification.crps(field(draws, case=40, member=7), truth)
        moments = scoringrules.crps_ensemble(truth.values, draws, m_axis=1, estimator="pwm")
        expected = verification.area_mean(truth.copy(data=moments))
        np.testing.assert_allclose(value, expected, rtol=1e-9)

    def test_blocks_do_not_change_it(self, monkeypatch):
        rng = np.random.default_rng(2)
        draws, truth = field(rng.normal(size=(5, *GRID.shape)), member=5), field(0.1)
        whole = verification.crps(draws, truth)
        monkeypatch.setattr("slams.verification.scores.PAIRS_AT_ONCE", 60)
        assert verification.crps(draws, truth).item() == pytest.approx(whole.item())

    def test_a_field_or_one_member_gives_the_absolute_error(self):
        assert verification.crps(field(-2.0), field(1.0)).item() == pytest.approx(3.0)
        one = field(-2.0, member=1)
        assert verification.crps(one, field(1.0)).item() == pytest.approx(3.0)

    def test_gaussian(self):
        exact = scoringrules.crps_normal(1.5, 1.0, 2.0)
        value = verification.crps_normal(field(1.0), field(2.0), field(1.5))
        assert value.item() == pytest.approx(exact)
        sharp = verification.crps_normal(field(1.0), field(0.0), field(1.5))
        assert sharp.item() == pytest.approx(0.5)

    def test_a_negative_spread_is_refused(self):
        with pytest.raises(SlamsError, match="negative"):
            verification.crps_normal(field(), field(-1.0), field())


class TestSpread:
    def test_two_members_by_hand(self):
        ensemble = field([[[0.0]], [[2.0]]], member=2)
        assert verification.spread(ensemble).item() == pytest.approx(2**0.5)
        # sqrt(3/2 · 2) over an error of the mean of 2.
        assert verification.spread_skill(ensemble, field(3.0)).item() == pytest.approx(3**0.5 / 2)

    @pytest.mark.parametrize("members", [2, 8])
    def test_a_calibrated_ensemble_of_any_size_has_ratio_one(self, members):
        cell = analysis_of(cases=40, members=members)
        ratio = pick(verification.score_cell(cell), "analysis", "spread_skill")
        assert ratio["value"] == pytest.approx(1.0, abs=0.02)
        assert ratio["unit"] == "1"

    def test_an_overconfident_one_has_less(self):
        scores = verification.score_cell(analysis_of(cases=20, calibrated=False))
        assert pick(scores, "analysis", "spread_skill")["upper"] < 0.6

    def test_needs_members(self):
        with pytest.raises(SlamsError, match="two members"):
            verification.spread(field())

    def test_missing_for_a_perfect_mean(self):
        ensemble = field([[[-1.0]], [[1.0]]], member=2)
        assert np.isnan(verification.spread_skill(ensemble, field(0.0)).item())


class TestBadInput:
    def test_a_member_that_is_not_finite_is_named(self):
        cell = analysis_of()
        cell["analysis"][2, 5, 1, 0, 3, 3] = np.inf
        with pytest.raises(SlamsError, match=r"analysis has 1 .*case 2, member 5.*level 500"):
            verification.score_cell(cell)

    def test_missing_truth(self):
        cell = analysis_of()
        cell["truth"][1, 0, 0, 0, 0] = np.nan
        with pytest.raises(SlamsError, match=r"the truth has 1 .*case 1"):
            verification.score_cell(cell)

    def test_different_levels(self):
        other = field(level=2).assign_coords(level=[500.0, 1000.0])
        with pytest.raises(SlamsError, match="along level"):
            verification.rmse(field(level=2), other)

    def test_different_lengths(self):
        with pytest.raises(SlamsError, match="along case"):
            verification.rmse(field(case=2), field(case=3))

    def test_a_dimension_of_one_side_only(self):
        with pytest.raises(SlamsError, match="dimension case"):
            verification.rmse(field(case=2), field())

    def test_truth_with_members(self):
        with pytest.raises(SlamsError, match="truth has a dimension member"):
            verification.rmse(field(member=2), field(member=2))

    def test_absent_variable_attribute_and_case(self):
        cell = analysis_of()
        with pytest.raises(SlamsError, match="climatology_spread"):
            verification.score_cell(cell.drop_vars("climatology_spread"))
        with pytest.raises(SlamsError, match="dimensions"):
            verification.score_cell(cell.isel(step=0))
        with pytest.raises(SlamsError, match="no case"):
            verification.score_cell(cell.isel(case=slice(0)))
        with pytest.raises(SlamsError, match="bootstrap"):
            verification.score_cell(cell, bootstrap=0)
        del cell.attrs["arm"]
        with pytest.raises(SlamsError, match="attribute arm"):
            verification.score_cell(cell)

    def test_axis_value(self):
        cell = analysis_of().assign_attrs(axis_value="much")
        with pytest.raises(SlamsError, match="much"):
            verification.score_cell(cell)
        cell.attrs |= {"axis": "none", "axis_value": "none"}
        assert (verification.score_cell(cell)["axis_value"] == 0).all()

    def test_partly_missing_interpolation(self):
        cell = analysis_of()
        cell["interpolation"][1, 0, 0, 0, 0] = np.nan
        with pytest.raises(SlamsError, match="interpolation has 1"):
            verification.score_cell(cell)


class TestTable:
    def test_is_what_the_architecture_page_says(self):
        scores = verification.score_cell(analysis_of())
        assert tuple(scores.columns) == verification.COLUMNS
        # Five scores, five, and three without spread, each at two levels and all.
        assert len(scores) == (5 + 5 + 3) * 3
        assert set(scores["level"]) == {"500", "850", "all"}
        assert scores.groupby("method")["members"].first().to_dict() == {
            "analysis": 8,
            "climatology": 0,
            "interpolation": 1,
        }
        assert scores.attrs["seed"] == "3"

    def test_values_are_those_of_the_single_scores(self):
        cell = analysis_of().astype(np.float64)
        scores = verification.score_cell(cell)
        truth, ensemble = cell["truth"], cell["analysis"]
        squares = verification.rmse(ensemble, truth) ** 2
        by_level = squares.mean(["case", "step"]) ** 0.5
        assert pick(scores, "analysis", "rmse", "850")["value"] == pytest.approx(by_level[1].item())
        expected = squares.mean().item() ** 0.5
        assert pick(scores, "analysis", "rmse")["value"] == pytest.approx(expected)
        expected = verification.crps(ensemble, truth).mean().item()
        assert pick(scores, "analysis", "crps")["value"] == pytest.approx(expected)
        expected = verification.bias(cell["climatology"], truth).mean().item()
        assert pick(scores, "climatology", "bias")["value"] == pytest.approx(expected)
        expected = abs(verification.area_mean(abs(cell["interpolation"] - truth))).mean().item()
        assert pick(scores, "interpolation", "crps")["value"] == pytest.approx(expected)

    def test_a_climatology_of_the_right_width_is_calibrated(self):
        ratio = pick(verification.score_cell(analysis_of(cases=30)), "climatology", "spread_skill")
        assert ratio["value"] == pytest.approx(1.0, abs=0.03)

    def test_one_case_has_no_interval(self):
        scores = verification.score_cell(analysis_of(cases=1))
        assert scores["lower"].isna().all() and scores["upper"].isna().all()
        assert scores["value"].notna().all()

    def test_one_member_has_no_spread(self):
        scores = verification.score_cell(analysis_of(members=1))
        assert set(scores.query("method == 'analysis'")["score"]) == {"rmse", "bias", "crps"}

    def test_an_unobserved_level_has_no_interpolation(self):
        cell = analysis_of()
        cell["interpolation"][:, :, 0] = np.nan
        scores = verification.score_cell(cell)
        assert np.isnan(pick(scores, "interpolation", "rmse", "500")["value"])
        assert np.isnan(pick(scores, "interpolation", "rmse", "all")["value"])
        assert pick(scores, "interpolation", "rmse", "850")["value"] == pytest.approx(2.2, abs=0.3)

    def test_seeded(self):
        cell = analysis_of()
        first, again = (verification.score_cell(cell, seed=1) for _ in range(2))
        pd.testing.assert_frame_equal(first, again)
        assert not first["lower"].equals(verification.score_cell(cell, seed=2)["lower"])

    def test_the_interval_covers(self):
        """Of 200 experiments with 12 cases, about 95 % of the intervals hold the true bias.

        The levels are the experiments. An error common to all cells of a case is what makes
        cases, and not cells, the unit of resampling.
        """
        error = np.random.default_rng(5).normal(1.0, 2.0, size=(12, 1, 200, 1, 1))
        flat = field(case=12, step=1, level=200)
        cell = analysis_of(cases=12, members=2, steps=1, levels=200)
        cell = cell.assign(truth=flat, interpolation=flat + error)
        scores = verification.score_cell(cell)
        bias = scores.query("method == 'interpolation' and score == 'bias' and level != 'all'")
        covered = ((bias["lower"] <= 1.0) & (bias["upper"] >= 1.0)).mean()
        assert 0.86 <= covered <= 0.97


class TestMerge:
    def write(self, folder: Path, name: str, scores: pd.DataFrame) -> Path:
        path = folder / name
        scores.to_parquet(path)
        return path

    def test_keeps_the_order_given(self, tmp_path):
        scores = verification.score_cell(analysis_of())
        b = self.write(tmp_path, "b.parquet", scores.assign(arm="b"))
        a = self.write(tmp_path, "a.parquet", scores.assign(arm="a"))
        merged = verification.merge([b, a])
        assert list(merged["arm"].unique()) == ["b", "a"]
        assert len(merged) == 2 * len(scores)

    def test_refuses_a_cell_given_twice(self, tmp_path):
        scores = verification.score_cell(analysis_of())
        a = self.write(tmp_path, "a.parquet", scores)
        b = self.write(tmp_path, "b.parquet", scores)
        with pytest.raises(SlamsError, match=r"more than once, in .*a\.parquet, .*b\.parquet"):
            verification.merge([a, b])

    def test_refuses_other_columns(self, tmp_path):
        scores = verification.score_cell(analysis_of()).drop(columns="unit")
        path = self.write(tmp_path, "old.parquet", scores)
        with pytest.raises(SlamsError, match=r"old\.parquet"):
            verification.merge([path])

    def test_refuses_nothing(self):
        with pytest.raises(SlamsError, match="no score table"):
            verification.merge([])
