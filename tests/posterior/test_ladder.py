"""The ladder's first level: high enough for what all cells share."""

import logging

import numpy as np
import pytest
import torch
from torch import Tensor

from slams.errors import SlamsError
from slams.gaussian import GaussianBase
from slams.observation import Observation, Observations
from slams.posterior import first_level, guidance, noise_levels, sample_states

CELLS, MEMBERS = 900, 4000
SHARED, OWN = 0.99, 0.01  # variance of a cell: what all cells share, and its own
LARGEST = (SHARED * CELLS + OWN) ** 0.5
TIMES = np.array(["2001-01-01"], dtype="datetime64[ns]")


class Common:
    """Cells that go up and down together, with an exact denoiser."""

    state_shape = (1, 1, 1, CELLS)

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        return mean * LARGEST**2 / (LARGEST**2 + sigma**2) + (x - mean) * OWN / (OWN + sigma**2)

    def decode(self, x: Tensor) -> Tensor:
        return x


def base() -> GaussianBase:
    """Of :class:`Common`: wavenumber zero is the mean."""
    made = GaussianBase(1, 1, 1, CELLS, 1)
    made.variance[:] = OWN
    made.variance[0] = LARGEST**2
    return made


def amplitude(error: float | None, first: float) -> tuple[float, float]:
    """Bias and spread of the mean of all cells, in its posterior standard deviation."""
    prior_variance = SHARED + OWN / CELLS
    given, mean, variance = None, 0.0, prior_variance
    if error is not None:
        value = torch.ones(1, 1, 1, 1)
        given = Observations(
            [Observation(lambda x: x.mean(-1, keepdim=True), value, error**2, TIMES)]
        )
        mean = prior_variance / (prior_variance + error**2)
        variance = mean * error**2
    states = sample_states(
        Common(),
        given,
        MEMBERS,
        guide=guidance("mmps"),
        levels=noise_levels(16, 0.02, first),
        generator=torch.Generator().manual_seed(0),
        times=TIMES,
    )
    found = states.mean((1, 2, 3, 4)).double()
    return abs(float(found.mean()) - mean) / variance**0.5, float(found.std()) / variance**0.5


@pytest.mark.parametrize("error", [None, 1.0, 0.3, 0.02])
def test_the_mode_that_all_cells_share_is_drawn_right(error):
    first = first_level(base(), None)
    assert first == pytest.approx(4 * LARGEST)
    bias, spread = amplitude(error, first)
    assert bias < 0.05 + 3 / MEMBERS**0.5
    assert 0.95 < spread < 1.05


def test_from_a_lower_level_it_is_not():
    """The check of the check; and what the warning is about."""
    assert amplitude(None, LARGEST / 3)[1] == pytest.approx(0.41, abs=0.03)
    assert amplitude(None, LARGEST)[1] == pytest.approx(0.84, abs=0.03)
    assert amplitude(1.0, LARGEST)[0] == pytest.approx(0.25, abs=0.04)


def test_a_longer_trajectory_needs_a_higher_level():
    made = GaussianBase(2, 1, 1, 8, 1)
    turned = torch.tensor([[1.0, 1.0], [-1.0, 1.0]]) / 2**0.5
    made.steps[:], made.variance[:] = turned.to(made.steps), torch.tensor([0.1, 1.9])
    assert made.longer(20).largest > 2 * made.largest


def test_a_level_that_is_too_low_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING):
        assert first_level(base(), 90.0) == 90.0
        assert not caplog.messages
        assert first_level(base(), 40.0) == 40.0
    assert (
        "sampler.sigma_max is 40, and a mode of the prior has a standard deviation of 29.8"
        in (caplog.messages[0])
    )


def test_small_states_begin_at_the_least_level():
    assert first_level(GaussianBase(1, 1, 2, 4, 2), None) == 40.0


def test_without_a_base_the_level_must_be_given():
    assert first_level(None, 25.0) == 25.0
    with pytest.raises(SlamsError, match=r"sampler\.sigma_max: .* set the key"):
        first_level(None, None)
