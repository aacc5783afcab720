"""The table of a cell: complete, tidy, and made of the single scores."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scoringrules
import xarray as xr
from made_cells import GRID, SCALE, cell_of, pick, scores_of
from scipy.stats import wasserstein_distance

from slams import verification
from slams.errors import SlamsError
from slams.verification.resampling import block_length, shares

FULL = {"rmse", "bias", "crps", "spread", "spread_skill", "rank_histogram", "rank_flatness"}
SPECTRA = {"power", "power_ratio", "wasserstein"}
BARE = {"rmse", "bias", "crps"} | SPECTRA


class TestShape:
    def test_is_what_the_architecture_page_says(self):
        scores = scores_of()
        assert tuple(scores.columns) == verification.COLUMNS
        assert not scores.duplicated(list(verification.KEY)).any()
        assert {m: set(rows["score"]) for m, rows in scores.groupby("method")} == {
            **dict.fromkeys(("analysis", "climatology", "oi", "letkf"), FULL | SPECTRA),
            "interpolation": BARE,
        }
        assert scores.groupby("method")["members"].first().to_dict() == {
            **{"analysis": 8, "climatology": 0, "interpolation": 1, "oi": 0, "letkf": 0}
        }
        assert set(scores["level"]) == {"500", "850", "all"}
        assert scores.attrs["seed"] == "3"

    def test_bins_and_cases(self):
        scores = scores_of()
        bins = scores.groupby("score")["bin"].unique().apply(sorted).to_dict()
        assert bins.pop("rank_histogram") == list(range(9))
        waves = list(range(1, GRID.shape[1] // 2 + 1))
        assert bins.pop("power") == bins.pop("power_ratio") == waves
        assert all(found == [-1] for found in bins.values())
        single = scores[scores["case"] != "all"]
        assert set(single["score"]) == {"rmse", "bias", "crps", "spread", "spread_skill"}
        assert list(single["case"].unique()) == [
            f"2003-{d}T00" for d in ("04-01", "04-11", "04-21", "05-01")
        ]
        assert single[["lower", "upper"]].isna().all(axis=None) and (single["cases"] == 1).all()
        assert (scores.loc[scores["case"] == "all", "cases"] == 4).all()

    def test_units_and_definitions_survive_the_file(self, tmp_path):
        scores = scores_of()
        scores.to_parquet(tmp_path / "scores.parquet", index=False)
        read = pd.read_parquet(tmp_path / "scores.parquet")
        pd.testing.assert_frame_equal(read, scores)
        units = read.groupby("score")["unit"].unique()
        for score in set(read["score"]):
            assert list(units[score]) == [verification.UNITS[score]]
            assert len(read.attrs["definitions"][score]) > 20

    def test_summary_has_what_tables_draw(self):
        scores = scores_of()
        summary = verification.summary(scores)
        assert (summary["case"] == "all").all() and (summary["bin"] == -1).all()
        binned = {"rank_histogram", "power", "power_ratio"}
        assert set(summary["score"]) == (FULL | SPECTRA) - binned
        key = ["method", "score", "level"]
        assert not summary.duplicated(key).any()

    def test_cases_of_one_time_are_told_apart(self):
        analysis, classical, statistics = cell_of(steps=1)
        time = analysis["time"].copy()
        time[1] = time[0]
        cell = (analysis.assign_coords(time=time), classical.assign_coords(time=time), statistics)
        names = list(dict.fromkeys(scores_of(cell)["case"]))
        assert names[1:3] == ["2003-04-01T00", "2003-04-01T00 (2)"]


class TestValues:
    def test_are_those_of_the_single_scores(self):
        cell = cell_of()
        scores = scores_of(cell)
        analysis, classical, _ = cell
        truth, ensemble = analysis["truth"], analysis["analysis"]
        squares = verification.rmse(ensemble, truth) ** 2
        by_level = squares.mean(["case", "step"]) ** 0.5
        assert pick(scores, "analysis", "rmse", "850")["value"] == pytest.approx(by_level[1].item())
        expected = squares.mean().item() ** 0.5
        assert pick(scores, "analysis", "rmse")["value"] == pytest.approx(expected)
        case = squares[2].mean("step")[0].item() ** 0.5
        found = pick(scores, "analysis", "rmse", "500", "2003-04-21T00")["value"]
        assert found == pytest.approx(case)
        expected = verification.crps(ensemble, truth).mean().item()
        assert pick(scores, "analysis", "crps")["value"] == pytest.approx(expected)
        expected = verification.bias(classical["climatology"], truth).mean().item()
        assert pick(scores, "climatology", "bias")["value"] == pytest.approx(expected)
        expected = verification.area_mean(abs(classical["interpolation"] - truth)).mean().item()
        found = pick(scores, "interpolation", "crps")["value"]
        assert found == pytest.approx(expected, rel=1e-6)
        expected = scoringrules.crps_normal(truth, classical["oi"], classical["oi_spread"])
        expected = verification.area_mean(truth.copy(data=expected)).mean().item()
        assert pick(scores, "oi", "crps")["value"] == pytest.approx(expected, rel=1e-6)

    def test_bins_are_those_of_the_single_scores(self):
        analysis, classical, statistics = cell_of()
        scores = scores_of((analysis, classical, statistics))
        rows = scores.query("method == 'analysis' and score == 'power' and level == '850'")
        expected = verification.power(analysis["analysis"]).mean(["case", "step"])[1]
        np.testing.assert_allclose(rows["value"], expected)
        rows = scores.query("method == 'oi' and score == 'power_ratio' and level == '500'")
        ratio = verification.power(classical["oi"]).mean(["case", "step"])[0]
        ratio = ratio / verification.power(analysis["truth"]).mean(["case", "step"])[0]
        np.testing.assert_allclose(rows["value"], ratio)
        rows = scores.query("method == 'analysis' and score == 'rank_histogram' and level == '500'")
        ranks = verification.rank_histogram(analysis["analysis"], analysis["truth"])
        np.testing.assert_allclose(rows["value"], ranks.mean(["case", "step"])[0])
        assert rows["value"].mean() == pytest.approx(1.0)

    def test_the_papers_distance_is_pooled_and_normalised(self):
        analysis, classical, statistics = cell_of()
        scores = scores_of((analysis, classical, statistics))
        for method, source in (("analysis", analysis), ("interpolation", classical)):
            expected = [
                wasserstein_distance(
                    source[method].isel(level=i).values.ravel(),
                    analysis["truth"].isel(level=i).values.ravel(),
                )
                / SCALE
                for i in range(2)
            ]
            assert pick(scores, method, "wasserstein", "500")["value"] == pytest.approx(expected[0])
            assert pick(scores, method, "wasserstein")["value"] == pytest.approx(np.mean(expected))

    def test_a_gaussians_distance_is_that_of_its_distribution(self):
        """The truth is N(0, 2) at every point, so is the climatology; oi's spread is made 3."""
        analysis, classical, statistics = cell_of(cases=24, steps=4)
        classical["oi_spread"][:] = 3.0
        scores = scores_of((analysis, classical, statistics))
        assert pick(scores, "climatology", "wasserstein")["value"] < 0.03
        # Of N(0, a) and N(0, b) the distance is |a - b| sqrt(2/pi).
        expected = (10**0.5 - 2**0.5) * (2 / np.pi) ** 0.5 / SCALE
        assert pick(scores, "oi", "wasserstein")["value"] == pytest.approx(expected, abs=0.02)

    @pytest.mark.parametrize("members", [2, 8])
    def test_a_calibrated_cell_says_so(self, members):
        scores = scores_of(cell_of(cases=24, members=members))
        for method in ("analysis", "climatology", "oi", "letkf"):
            ratio = pick(scores, method, "spread_skill")
            assert ratio["value"] == pytest.approx(1.0, abs=0.035)
            assert ratio["lower"] < ratio["value"] < ratio["upper"]
            assert pick(scores, method, "rank_flatness")["value"] > 0.001
            rows = scores.query("method == @method and score == 'rank_histogram'")
            assert len(rows) == 3 * (members + 1)
            np.testing.assert_allclose(rows["value"], 1.0, atol=0.2)

    def test_an_overconfident_one_says_so(self):
        scores = scores_of(cell_of(cases=20, width=0.5))
        assert pick(scores, "analysis", "spread_skill")["upper"] < 0.6
        assert pick(scores, "analysis", "rank_flatness")["value"] < 1e-4
        rows = scores.query("method == 'analysis' and score == 'rank_histogram' and level == 'all'")
        assert rows["value"].iloc[0] > 1.5 and rows["value"].iloc[-1] > 1.5

    def test_one_case_has_no_interval(self):
        scores = scores_of(cell_of(cases=1))
        assert scores[["lower", "upper"]].isna().all(axis=None)
        flat = scores["score"] == "rank_flatness"
        assert scores.loc[flat, "value"].isna().all() and scores.loc[~flat, "value"].notna().all()

    def test_one_member_has_no_spread(self):
        scores = scores_of(cell_of(members=1))
        assert set(scores.query("method == 'analysis'")["score"]) == BARE
        rows = scores.query("method == 'oi' and score == 'rank_histogram' and level == 'all'")
        assert len(rows) == 11

    def test_an_unobserved_level_has_no_interpolation(self):
        analysis, classical, statistics = cell_of()
        classical["interpolation"][:, :, 0] = np.nan
        scores = scores_of((analysis, classical, statistics))
        for score in ("rmse", "bias", "crps", "wasserstein"):
            assert np.isnan(pick(scores, "interpolation", score, "500")["value"])
            assert np.isnan(pick(scores, "interpolation", score)["value"])
            row = pick(scores, "interpolation", score, "850")
            assert np.isfinite(row[["value", "lower", "upper"]].astype(float)).all()
        assert pick(scores, "interpolation", "rmse", "850")["value"] == pytest.approx(2.2, abs=0.3)

    def test_how_many_cases_are_in_memory_does_not_matter(self, monkeypatch):
        cell = cell_of(cases=5)
        together = scores_of(cell)
        for count in (1, 2):
            size = cell[0]["analysis"].size // 5
            monkeypatch.setattr("slams.verification.table.VALUES_AT_ONCE", count * size)
            pd.testing.assert_frame_equal(scores_of(cell), together, rtol=1e-9)

    def test_a_level_may_be_unobserved_in_one_case(self):
        analysis, classical, statistics = cell_of()
        classical["interpolation"][2, :, 0] = np.nan
        scores = scores_of((analysis, classical, statistics))
        assert np.isnan(pick(scores, "interpolation", "rmse", "500")["value"])
        case = pick(scores, "interpolation", "rmse", "500", "2003-04-11T00")
        assert np.isfinite(case["value"])
        case = pick(scores, "interpolation", "rmse", "500", "2003-04-21T00")
        assert np.isnan(case["value"])

    def test_files_and_memory_give_the_same(self, tmp_path):
        analysis, classical, statistics = cell_of()
        analysis.to_netcdf(tmp_path / "a.nc")
        classical.to_netcdf(tmp_path / "c.nc")
        with xr.open_dataset(tmp_path / "a.nc") as a, xr.open_dataset(tmp_path / "c.nc") as c:
            read = scores_of((a, c, statistics))
        pd.testing.assert_frame_equal(read, scores_of((analysis, classical, statistics)))


class TestEnsembleAlone:
    def test_has_the_same_rows(self):
        cell = cell_of()
        alone = verification.score_ensemble(cell[0], bootstrap=100)
        whole = scores_of(cell).query("method == 'analysis' and score != 'wasserstein'")
        assert tuple(alone.columns) == verification.COLUMNS
        pd.testing.assert_frame_equal(alone, whole.reset_index(drop=True), check_like=False)

    def test_of_some_members(self):
        analysis, *_ = cell_of()
        some = verification.score_ensemble(analysis, members=3, bootstrap=10)
        direct = verification.score_ensemble(analysis.isel(member=slice(3)), bootstrap=10)
        pd.testing.assert_frame_equal(some, direct)
        assert (some["members"] == 3).all()
        with pytest.raises(SlamsError, match="9 members are asked for"):
            verification.score_ensemble(analysis, members=9)


class TestIntervals:
    def test_seeded(self):
        cell = cell_of()
        first, again = (scores_of(cell, seed=1) for _ in range(2))
        pd.testing.assert_frame_equal(first, again)
        assert not first["lower"].equals(scores_of(cell, seed=2)["lower"])

    def test_are_quantiles_over_the_same_resamples(self):
        cell = cell_of(cases=9)
        scores = scores_of(cell, bootstrap=400, seed=5)
        share = shares(9, block_length(9), 400, 5)
        squares = (verification.rmse(cell[0]["analysis"], cell[0]["truth"]) ** 2).mean("step")
        drawn = np.sqrt(share @ squares.values)
        row = pick(scores, "analysis", "rmse", "850")
        np.testing.assert_allclose(
            [row["lower"], row["upper"]], np.quantile(drawn[:, 1], [0.025, 0.975]), rtol=1e-6
        )

    def test_the_distances_interval_holds_it(self):
        scores = scores_of(cell_of(cases=12, width=0.3), bootstrap=300)
        for level in ("500", "850", "all"):
            row = pick(scores, "analysis", "wasserstein", level)
            assert row["lower"] < row["value"] < row["upper"] < 3 * row["value"]


class TestMerge:
    def write(self, folder: Path, name: str, scores: pd.DataFrame) -> Path:
        path = folder / name
        scores.to_parquet(path)
        return path

    def test_keeps_the_order_given(self, tmp_path):
        scores = scores_of()
        b = self.write(tmp_path, "b.parquet", scores.assign(arm="b"))
        a = self.write(tmp_path, "a.parquet", scores.assign(arm="a"))
        merged = verification.merge([b, a])
        assert list(merged["arm"].unique()) == ["b", "a"]
        assert len(merged) == 2 * len(scores)
        assert set(merged["score"]) <= set(merged.attrs["definitions"])

    def test_refuses_a_cell_given_twice(self, tmp_path):
        scores = scores_of()
        a = self.write(tmp_path, "a.parquet", scores)
        b = self.write(tmp_path, "b.parquet", scores)
        with pytest.raises(SlamsError, match=r"more than once, in .*a\.parquet, .*b\.parquet"):
            verification.merge([a, b])

    def test_refuses_other_columns(self, tmp_path):
        scores = scores_of().drop(columns="unit")
        path = self.write(tmp_path, "old.parquet", scores)
        with pytest.raises(SlamsError, match=r"old\.parquet"):
            verification.merge([path])

    def test_refuses_nothing(self):
        with pytest.raises(SlamsError, match="no score table"):
            verification.merge([])
