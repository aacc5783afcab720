"""Ablation curves, profiles, rank histograms, spectra, comparisons: of whole and awkward tables."""

import numpy as np
import pandas as pd
import pytest
from figures.made import ARMS, CELLS, NO_BACKGROUND, comparisons_of, scores_of

from slams import figures
from slams.errors import SlamsError
from slams.figures.comparisons import against

BASELINES = ["climatology", "interpolation", "OI", "LETKF"]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines_of(axes, colour):
    return [line for line in axes.lines if line.get_color() == colour]


class TestAblation:
    @pytest.mark.parametrize("score", ["crps", "rmse", "bias", "spread_skill", "wasserstein"])
    def test_every_score(self, drawn, score):
        figure = figures.ablation_curves(scores_of(), score)
        assert len(figure.axes) == 3
        drawn(figure)

    def test_one_cell_one_arm_no_interval(self, drawn):
        few = scores_of(["only"], {"noise": [1.0]}, intervals=False, no_background=False)
        drawn(figures.ablation_curves(few, level="500"))

    def test_only_an_arm_without_background(self, drawn):
        drawn(figures.ablation_curves(scores_of([])))

    def test_a_cell_that_has_not_run(self, drawn):
        scores = scores_of().query("not (arm == 'latent-both' and axis == 'noise')")
        drawn(figures.ablation_curves(scores, arms=[*ARMS, NO_BACKGROUND, "later"]))

    def test_baselines_are_drawn_once(self):
        labels = legend(figures.ablation_curves(scores_of()))
        assert labels == [*ARMS, NO_BACKGROUND, *BASELINES]

    def test_the_optimal_interpolations_of_other_observations_are_a_band(self):
        scores = scores_of()
        other = (scores["arm"] == "latent-both") & (scores["method"] == "oi")
        scores.loc[other, "value"] *= 0.5
        figure = figures.ablation_curves(scores)
        assert legend(figure)[-1] == "OI, all arms' observations"
        band = next(c for c in figure.axes[0].collections if len(c.get_paths()[0].vertices) > 8)
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(0.5 * 1.1 * 0.7)
        assert heights.max() == pytest.approx(1.1 * (0.7 + 3 * 0.35))

    def test_of_one_value_every_baseline_and_the_band_are_to_be_seen(self):
        scores = scores_of(cells={"persistence": [1.0]})
        other = (scores["arm"] == "latent-both") & (scores["method"] == "oi")
        scores.loc[other, "value"] *= 0.5
        figure = figures.ablation_curves(scores)
        colours = figures.style.BASELINES
        for method in ("climatology", "interpolation", "oi", "letkf"):
            (line,) = lines_of(figure.axes[0], colours[method].color)
            assert np.ptp(line.get_xdata()) > 0.1 and np.ptp(line.get_ydata()) == 0
        assert legend(figure)[-1] == "OI, all arms' observations"
        band = next(c for c in figure.axes[0].collections if len(c.get_paths()[0].vertices) > 5)
        assert np.ptp(band.get_paths()[0].vertices[:, 0]) > 0.1

    def test_the_paper_stands_beside_where_its_levels_are_ours(self):
        paper = pd.DataFrame(
            [
                {"model": model, "axis": "coarse", "value": value, "level_hPa": float(level)}
                for model in ("sda_0", "lsda_0")
                for value in (4, 20)
                for level in ("500", "850")
            ]
        ).assign(wasserstein_norm=[0.1, 0.3, 0.5, 0.7] * 2)
        scores = scores_of(levels=("500", "850"))
        figure = figures.ablation_curves(scores, "wasserstein", paper=paper)
        assert legend(figure)[-2:] == ["paper's sda_0", "paper's lsda_0"]
        theirs = [line for line in figure.axes[0].lines if line.get_marker() == "*"]
        assert len(theirs) == 2 and list(theirs[0].get_ydata()) == pytest.approx([0.2, 0.6])
        at_level = figures.ablation_curves(scores, "wasserstein", "850", paper=paper)
        theirs = [line for line in at_level.axes[0].lines if line.get_marker() == "*"]
        assert list(theirs[0].get_ydata()) == pytest.approx([0.3, 0.7])
        for score, levels in (("crps", ("500", "850")), ("wasserstein", ("500", "700"))):
            figure = figures.ablation_curves(scores_of(levels=levels), score, paper=paper)
            assert not [label for label in legend(figure) if "paper" in label]

    def test_one_arm_far_off_does_not_flatten_the_others(self):
        scores = scores_of()
        scores.loc[scores["arm"] == "latent-both", "value"] *= 50
        assert figures.ablation_curves(scores).axes[0].get_yscale() == "log"
        assert figures.ablation_curves(scores_of()).axes[0].get_yscale() == "linear"

    def test_unknown_score_or_arm(self):
        with pytest.raises(SlamsError, match="no score skill"):
            figures.ablation_curves(scores_of(), "skill")
        with pytest.raises(SlamsError, match="latent-both"):
            figures.ablation_curves(scores_of(), arms=ARMS[:1])


class TestLevels:
    def test_a_row_a_level_and_the_stations_last(self, drawn):
        figure = figures.ablation_levels(scores_of(levels=("200", "850"), stations=True))
        rows = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
        assert rows == ["200 hPa", "850 hPa", "2 m"]
        assert len(figure.axes) == 9
        drawn(figure)

    def test_ten_levels_many_arms(self, drawn):
        levels = ("10", "50", "100", "200", "300", "500", "700", "850", "925", "1000")
        arms = [*ARMS, "paper-pixel", "paper-latent"]
        drawn(figures.ablation_levels(scores_of(arms, levels=levels), "wasserstein"))

    def test_each_panel_has_its_own_levels_values(self):
        scores = scores_of(["only"], {"coarse": [4.0, 8.0]}, ("200", "850"), no_background=False)
        figure = figures.ablation_levels(scores)
        drawn = figure.axes[0].lines[0].get_ydata()
        rows = scores.query(
            "level == '200' and score == 'crps' and method == 'analysis' and case == 'all'"
        )
        assert list(drawn) == pytest.approx(rows["value"].to_list())


def test_an_arm_keeps_its_look():
    looks = figures.arm_styles(ARMS)
    assert looks["latent-imagery"] == figures.arm_styles([*ARMS, "more"])["latent-imagery"]
    paper = figures.arm_styles([*ARMS, "paper-pixel", "paper-latent"])
    one, other = paper["paper-pixel"], paper["paper-latent"]
    assert (one.marker, one.line) == (other.marker, other.line) and one.color != other.color
    assert one.marker not in {paper[arm].marker for arm in ARMS}
    many = list(figures.arm_styles([str(i) for i in range(20)]).values())
    assert len(set(many)) == 20
    # As many as any configuration has that comes with this.
    assert len({style.color for style in many[:10]}) == 10


def test_an_arm_has_one_colour_in_all_figures():
    scores, arms = scores_of(), [*ARMS, NO_BACKGROUND]
    colour = figures.arm_styles(arms)["latent-imagery"].color
    for figure in (
        figures.ablation_curves(scores, arms=arms),
        figures.ablation_levels(scores, arms=arms),
        figures.profiles(scores, "coarse", 4, arms),
        figures.spectra(scores, "coarse", 4, arms),
        figures.comparisons(comparisons_of(scores), arms=arms),
    ):
        assert any(lines_of(axes, colour) for axes in figure.axes)


class TestProfiles:
    @pytest.mark.parametrize(
        "levels", [("850",), ("500", "850"), ("10", "50", "100", "500", "850", "925", "1000")]
    )
    def test_levels(self, drawn, levels):
        drawn(figures.profiles(scores_of(levels=levels, stations=True), "coarse", 4))

    def test_one_arm_without_intervals(self, drawn):
        few = scores_of(["only"], intervals=False, no_background=False)
        drawn(figures.profiles(few, "noise", 0.5))

    def test_unknown_cell(self):
        with pytest.raises(SlamsError, match="no cell coarse-5; it has coarse-4"):
            figures.profiles(scores_of(), "coarse", 5)


class TestRanks:
    def test_a_row_an_arm_and_a_column_a_level(self, drawn):
        figure = figures.rank_histograms(scores_of(levels=("200", "850")), "coarse", 4)
        assert len(figure.axes) == 2 * 6
        bars = [patch.get_height() for patch in figure.axes[0].patches[:9]]
        assert bars[0] == pytest.approx(bars[8]) and bars[0] > 1 > bars[4]
        assert "p = 0.03" in [text.get_text() for text in figure.axes[0].texts]
        assert legend(figure) == ["the arm's ensemble", "OI", "flat"]
        drawn(figure)

    def test_many_levels_are_thinned(self, drawn):
        levels = tuple(str(n) for n in range(100, 1100, 100))
        figure = figures.rank_histograms(scores_of(["a", "b"], levels=levels), "noise", 1.0)
        titles = [axes.get_title(loc="left") for axes in figure.axes[:5]]
        assert titles[0] == "100 hPa" and titles[-1] == "1000 hPa"
        drawn(figure)

    def test_one_member_has_no_rank(self):
        one = scores_of(cells={"persistence": [1.0]}, members=1)
        one = one[(one["score"] != "rank_histogram") | (one["method"] != "analysis")]
        with pytest.raises(SlamsError, match="the table has no rank histogram"):
            figures.rank_histograms(one, "persistence", 1)

    def test_a_cell_of_one_member_beside_others_with_more(self, drawn):
        one = scores_of(cells={"persistence": [1.0]}, members=1, no_background=False)
        one = one[(one["score"] != "rank_histogram") | (one["method"] != "analysis")]
        more = scores_of(["paper-pixel"], {"coarse": [4.0]}, no_background=False)
        figure = figures.rank_histograms(pd.concat([one, more]), "persistence", 1)
        assert [text.get_text() for text in figure.texts] == ["one member each: no rank"]
        drawn(figure)


class TestSpectra:
    def test_power_and_ratio(self, drawn):
        figure = figures.spectra(scores_of(levels=("200", "850")), "coarse", 4)
        assert len(figure.axes) == 4
        truth = next(line for line in figure.axes[0].lines if line.get_linewidth() == 2.2)
        assert list(truth.get_xdata()) == list(range(1, 13))
        assert truth.get_ydata() == pytest.approx((1.0 + np.arange(1, 13)) ** -3)
        drawn(figure)

    def test_no_spectrum(self):
        scores = scores_of()
        with pytest.raises(SlamsError, match="no spectrum at coarse-4"):
            figures.spectra(scores[scores["score"] != "power_ratio"], "coarse", 4)


class TestComparisons:
    def test_both_panels(self, drawn):
        table = comparisons_of(scores_of())
        figure = figures.comparisons(table, arms=[*ARMS, NO_BACKGROUND])
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert titles == ["against OI of the same observations", "against pixel-background"]
        cells = [text.get_text() for text in figure.axes[0].get_yticklabels()]
        assert len(cells) == sum(map(len, CELLS.values())) + 1 and cells[-1] == "no background"
        drawn(figure)

    def test_the_interval_is_in_percent_of_the_other(self):
        table = comparisons_of(scores_of(["a", "b"], {"coarse": [4.0]}, no_background=False))
        row = against(table, "analysis").iloc[0]
        # b has 0.9 times the CRPS of a, which is 0.7.
        assert row["percent"] == pytest.approx(-10)
        assert row["lower_percent"] == pytest.approx(100 * (-0.07 - 0.1) / 0.7)
        assert row["upper_percent"] == pytest.approx(100 * (-0.07 + 0.1) / 0.7)

    def test_what_is_undecided_is_hollow(self):
        table = comparisons_of(scores_of(["a", "b"], {"coarse": [4.0]}, no_background=False))
        for bounds, face in (
            ((-0.1, 0.1), "white"),
            ((-0.1, -0.01), figures.arm_styles("ab")["b"].color),
        ):
            table["lower"], table["upper"] = bounds
            axes = figures.comparisons(table, arms=["a", "b"]).axes[1]
            points = [line for line in axes.lines if line.get_marker() == "s"]
            assert [point.get_markerfacecolor() for point in points] == [face]

    def test_one_arm_alone(self, drawn):
        table = comparisons_of(scores_of(["a"], {"coarse": [4.0]}, no_background=False))
        figure = figures.comparisons(table)
        assert len(figure.axes) == 1
        drawn(figure)
        with pytest.raises(SlamsError, match="no paired comparison of skill"):
            figures.comparisons(table, "skill")
