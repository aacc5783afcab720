"""Scores against closed forms, hand-made examples and an independent library."""

import numpy as np
import pytest
import scoringrules
from made_cells import GRID, field
from scipy.integrate import quad
from scipy.stats import energy_distance, norm

from slams import verification
from slams.errors import SlamsError


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

    @pytest.mark.parametrize("members", [2, 3, 9])
    def test_agrees_with_scipy(self, members):
        """The squared energy distance of an ensemble from one value is twice its plain CRPS."""
        rng = np.random.default_rng(4)
        draws, truth = rng.normal(280, 3, (members, *GRID.shape)), rng.normal(280, 3, GRID.shape)
        expected = np.empty(GRID.shape)
        for place in np.ndindex(GRID.shape):
            x, y = draws[:, *place], truth[place]
            plain = energy_distance(x, [y]) ** 2 / 2
            # Pairs of a member with itself are no spread: M^2 pairs become M (M - 1).
            pairs = np.abs(x[:, None] - x).sum() / 2
            expected[place] = plain + pairs / members**2 - pairs / (members * (members - 1))
        value = verification.crps(field(draws, member=members), field(truth))
        assert value.item() == pytest.approx(verification.area_mean(field(expected)).item())

    @pytest.mark.parametrize(("mean", "spread", "truth"), [(0.0, 1.0, 0.4), (280.0, 3.0, 271.0)])
    def test_gaussian_agrees_with_its_definition(self, mean, spread, truth):
        """The integral of the squared difference of distribution functions, by scipy."""

        def squared(x: float) -> float:
            return (norm.cdf(x, mean, spread) - (x >= truth)) ** 2

        sides = [(mean - 40 * spread, truth), (truth, mean + 40 * spread)]
        expected = sum(quad(squared, *side, points=None, limit=200)[0] for side in sides)
        value = verification.crps_normal(field(mean), field(spread), field(truth))
        assert value.item() == pytest.approx(expected, rel=1e-6)

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

    def test_needs_members(self):
        with pytest.raises(SlamsError, match="two members"):
            verification.spread(field())

    def test_missing_for_a_perfect_mean(self):
        ensemble = field([[[-1.0]], [[1.0]]], member=2)
        assert np.isnan(verification.spread_skill(ensemble, field(0.0)).item())


class TestRefusals:
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
