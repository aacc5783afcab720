"""Long trajectories as the paper puts them together."""

import numpy as np
import pytest
import torch
from worlds import IdealPrior, days, store, weather

from slams.cases import Case
from slams.observation import Identity
from slams.observation.background import Degraded
from slams.paper.arms import analyse, observe
from slams.paper.trajectory import Chain


class Places:
    """Windows whose estimate of a step says which window it is from, and which place in it."""

    def __init__(self, length):
        self.state_shape = (length, 1, 2, 4)

    def denoise(self, x, sigma, times):
        first = float((times[0] - np.datetime64("2001-01-01")) / np.timedelta64(1, "D"))
        place = torch.arange(self.state_shape[0]).view(1, -1, 1, 1, 1)
        return 0 * x + 100 * first + place

    def decode(self, x):
        return x


@pytest.mark.parametrize(
    ("length", "steps", "expected"),
    [
        # Windows 0 ... 4 of five steps: the middle is the third.
        (5, 9, [0, 1, 2, 102, 202, 302, 402, 403, 404]),
        (3, 5, [0, 1, 101, 201, 202]),
        (2, 4, [0, 1, 101, 201]),
        (5, 6, [0, 1, 2, 102, 103, 104]),
        (1, 3, [0, 100, 200]),
    ],
)
def test_a_step_is_of_the_window_in_whose_middle_it_stands(length, steps, expected):
    chain = Chain(Places(length), steps)
    x = torch.zeros(2, steps, 1, 2, 4)
    found = chain.denoise(x, torch.tensor(1.0), days("2001-01-01", steps))
    assert found.shape == x.shape
    assert found[1, :, 0, 1, 3].tolist() == expected


def test_as_the_public_code_folds_windows():
    """Its fold: the first window to its middle, all middles, the last from its middle on."""
    length, steps, order = 5, 29, 2
    chain = Chain(Places(length), steps)
    windows = torch.stack([100.0 * n + torch.arange(length) for n in range(steps - length + 1)])
    folded = torch.cat([windows[0, :order], windows[:, order], windows[-1, -order:]])
    x = torch.zeros(1, steps, 1, 2, 4)
    found = chain.denoise(x, torch.tensor(1.0), days("2001-01-01", steps))
    assert len(windows) == 25  # as many as the paper's 29 days have
    assert torch.equal(found[0, :, 0, 0, 0], folded)


def test_a_case_may_have_more_days_than_the_prior(tmp_path):
    """White states of variance one, each seen with variance one quarter: 0.8 of what was seen."""
    steps, prior = 8, IdealPrior(3)
    prior.__class__ = type("Baseless", (IdealPrior,), {"base": None})
    times, truth = days("2003-04-01", steps), weather(steps, seed=4)
    case = Case(store(tmp_path, "test", times, truth), 0, steps)
    seen = observe(prior, case, Degraded(Identity(), 0.5, 1), seed=5)
    sampler = {"members": 1, "steps": 64, "corrections": 1, "tau": 0.5, "gamma": 1e-2}
    found = analyse(prior, seen, sampler, seed=6)
    assert found.shape[:2] == (1, steps)
    states = prior.normalisation.normalise(found.values, times)
    departure = states[0] - 0.8 * seen.full.numpy()
    assert abs(departure.mean()) < 0.05
    assert departure.var() == pytest.approx(0.2 / (1 - 0.5 / 2), rel=0.1)
