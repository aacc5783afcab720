"""Rank histograms by hand, and how often their test of flatness is wrong on calibrated ones."""

import numpy as np
import pytest
from made_cells import GRID, field
from scipy.stats import chisquare, norm

from slams import verification
from slams.errors import SlamsError
from slams.verification.scores import area_weights

WAVES = 6


def waves(rng: np.random.Generator, *leading: int) -> np.ndarray:
    """Fields of variance one of a few large waves: all cells of one are correlated."""
    east = np.radians(GRID.longitude)
    basis = np.stack(
        [np.cos(k * east) for k in range(1, 4)] + [np.sin(k * east) for k in range(1, 4)]
    )
    north = np.cos(np.radians(GRID.latitude))[:, None]
    patterns = np.stack([north**0 * wave for wave in basis])
    patterns /= np.sqrt((patterns**2).sum(0).mean())
    return np.tensordot(rng.normal(size=(*leading, WAVES)), patterns, axes=1)


class TestHistogram:
    def test_by_hand(self):
        """The truth is below, between and above two members in a third of the longitudes each."""
        truth = field()
        truth[:, :4], truth[:, 4:8], truth[:, 8:] = -1.0, 0.5, 2.0
        ensemble = field([[[0.0]], [[1.0]]], member=2)
        ranks = verification.rank_histogram(ensemble, truth)
        assert ranks.dims == ("rank",) and list(ranks["rank"]) == [0, 1, 2]
        np.testing.assert_allclose(ranks, 1.0)
        truth[:, 4:] = -1.0
        np.testing.assert_allclose(verification.rank_histogram(ensemble, truth), [3, 0, 0])

    def test_cells_count_by_area(self):
        truth = field()
        truth[0] = 2.0
        ranks = verification.rank_histogram(field([[[-1.0]], [[1.0]]], member=2), truth)
        share = area_weights(truth["latitude"]).values[0] / GRID.shape[0]
        np.testing.assert_allclose(ranks, [0, 3 * (1 - share), 3 * share])

    def test_other_dimensions_are_kept_in_order(self):
        rng = np.random.default_rng(0)
        ensemble = field(rng.normal(size=(3, 5, 2, *GRID.shape)), case=3, member=5, level=2)
        truth = field(rng.normal(size=(3, 2, *GRID.shape)), case=3, level=2)
        ranks = verification.rank_histogram(ensemble, truth)
        assert ranks.dims == ("case", "level", "rank")
        np.testing.assert_allclose(ranks.mean("rank"), 1.0)
        one = verification.rank_histogram(ensemble.isel(case=1, level=1), truth[1, 1])
        np.testing.assert_allclose(ranks[1, 1], one)

    def test_ties_are_drawn_evenly_and_by_seed(self):
        ensemble, truth = field(1.0, case=200, member=3), field(1.0, case=200)
        ranks = verification.rank_histogram(ensemble, truth, seed=1)
        np.testing.assert_allclose(ranks.mean("case"), 1.0, atol=0.05)
        assert ranks.equals(verification.rank_histogram(ensemble, truth, seed=1))
        assert not ranks.equals(verification.rank_histogram(ensemble, truth, seed=2))

    def test_needs_members(self):
        with pytest.raises(SlamsError, match="two members"):
            verification.rank_histogram(field(member=1), field())


class TestGaussian:
    def test_bins_hold_equal_shares_of_it(self):
        edges = norm.ppf(np.arange(1, 4) / 4, 3.0, 2.0)
        for place, truth in enumerate([edges[0] - 0.01, *(edges + 0.01)]):
            found = verification.pit_histogram(field(3.0), field(2.0), field(truth), 4)
            assert found.values.argmax() == place and found.max() == pytest.approx(4.0)

    def test_is_flat_where_it_is_right(self):
        rng = np.random.default_rng(2)
        truth = field(rng.normal(1.0, 2.0, size=(300, *GRID.shape)), case=300)
        found = verification.pit_histogram(field(1.0, case=300), field(2.0), truth, 9)
        np.testing.assert_allclose(found.mean("case"), 1.0, atol=0.06)

    def test_without_spread(self):
        truth = field()
        truth[:, :4], truth[:, 4:8] = -1.0, 1.0
        found = verification.pit_histogram(field(), field(0.0), truth, 3, seed=1)
        assert found[0] > 1.0 and found[2] > 1.0  # and where it is equal, anywhere
        assert found.sum() == pytest.approx(3.0)

    @pytest.mark.parametrize(("wrong", "said"), [(np.nan, "not finite"), (-2.0, "negative")])
    def test_a_spread_that_is_none_is_refused(self, wrong, said):
        """Not counted in a bin that is none, nor taken for no spread at all."""
        spread = field(2.0)
        spread[1, 2] = wrong
        with pytest.raises(SlamsError, match=said):
            verification.pit_histogram(field(), spread, field(), 5)


class TestFlatness:
    def histograms(
        self, experiments: int, cases: int, members: int, **changes: float
    ) -> np.ndarray:
        """(case, experiment, bin) of correlated fields; ``width`` and ``shift`` of the members."""
        rng = np.random.default_rng(8)
        shape = (experiments, cases)
        truth = waves(rng, *shape)
        ensemble = changes.get("width", 1.0) * waves(rng, members, *shape)
        ensemble += changes.get("shift", 0.0)
        ranks = (ensemble < truth).sum(0)
        weights = np.broadcast_to(GRID.area_weights[:, None], GRID.shape) / np.prod(GRID.shape)
        bins = members + 1
        counted = [((ranks == bin_of) * weights).sum((-2, -1)) for bin_of in range(bins)]
        return bins * np.stack(counted, axis=-1).swapaxes(0, 1)

    @pytest.mark.parametrize(("cases", "members", "block"), [(24, 8, 2), (8, 4, 1), (30, 3, 3)])
    def test_false_alarms_are_as_rare_as_stated(self, cases, members, block):
        p = verification.flatness(self.histograms(800, cases, members), block)
        assert 0.03 < (p < 0.05).mean() < 0.08
        assert 0.16 < (p < 0.2).mean() < 0.25

    def test_counting_cells_raises_an_alarm_at_every_calibrated_ensemble(self):
        """Why there is a test of its own: neighbours are not independent."""
        found = self.histograms(200, 24, 8)
        cells = np.prod(GRID.shape) * 24
        p = chisquare(found.mean(0) / 9 * cells, axis=-1).pvalue
        assert (p < 0.05).mean() > 0.8

    @pytest.mark.parametrize("changes", [{"width": 0.6}, {"width": 1.6}, {"shift": 0.5}])
    def test_what_is_not_flat_is_found(self, changes):
        p = verification.flatness(self.histograms(100, 24, 8, **changes), 2)
        assert (p < 0.05).mean() > 0.9

    def test_few_blocks_say_nothing(self):
        found = self.histograms(2, 6, 4)
        assert np.isnan(verification.flatness(found, 2)).all()
        assert np.isfinite(verification.flatness(found, 1)).all()

    def test_cases_that_are_all_alike_have_no_test(self):
        assert np.isnan(verification.flatness(np.ones((12, 5)), 1))
