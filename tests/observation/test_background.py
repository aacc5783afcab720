"""Which background an axis means."""

import pytest
from worlds import statistics

from slams.errors import SlamsError
from slams.observation import BlockMean, EveryNth, Identity
from slams.observation.background import Degraded, background_of
from slams.statistics import Normalisation

NORMALISATION = Normalisation(statistics())


def of(axis, value, section):
    return background_of(axis, value, section, normalisation=NORMALISATION)


def test_an_axis_is_an_operator_a_noise_and_steps():
    section = {"noise": 0.1, "coarse": 4, "every": 4}
    assert of("coarse", 8.0, section) == Degraded(BlockMean(8), 0.1, 4)
    assert of("noise", 0.5, section) == Degraded(BlockMean(4), 0.5, 4)
    assert of("noise", 0.5, section | {"coarse": 1}) == Degraded(Identity(), 0.5, 4)
    assert of("sparse", 12, section) == Degraded(EveryNth(12), 0.1, 4)
    assert of("sparse", 12, section | {"offset": None}) == Degraded(EveryNth(12), 0.1, 4)
    assert of("sparse", 12, section | {"offset": 2}) == Degraded(EveryNth(12, 2), 0.1, 4)
    assert of("sparse", 12, section | {"offset": 0}) == Degraded(EveryNth(12, 0), 0.1, 4)
    with pytest.raises(SlamsError, match=r"'wet' is not coarse, noise, sparse or persistence"):
        of("wet", 1.0, section)


def test_persistence_needs_its_fit():
    with pytest.raises(SlamsError, match=r"persistence-2.nc first \(rule fit_persistence\)"):
        of("persistence", 2.0, {"coarse": 2})
