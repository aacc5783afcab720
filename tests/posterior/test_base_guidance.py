"""Moment matching with the covariance of the linear-Gaussian base."""

import numpy as np
import pytest
import torch
from torch import Tensor
from worlds import LEVELS, SHAPE, days, statistics, store, weather

from slams.composition import Composed
from slams.errors import SlamsError
from slams.observation import BlockMean, Observation, Observations
from slams.posterior import guidance, sample
from slams.posterior.guidance import gaussian, mmps
from slams.prior import Denoiser, Prior

WINDOW, STEPS = 2, 5
TIMES = days("2001-02-01", STEPS)


@pytest.fixture(scope="module")
def prior(tmp_path_factory) -> Prior:
    """A prior with a fitted base and a network that has not learned: exactly linear."""
    folder = tmp_path_factory.mktemp("base")
    times = days("1999-01-01", 400)
    fields = weather(400)
    training = store(folder, "train", times[:300], fields[:300])
    validation = store(folder, "validation", times[300:], fields[300:])
    net = Denoiser(WINDOW, *SHAPE, width=[8], longitude=False, modes=100)
    net.base.fit(
        training, training.starts(WINDOW, 24.0), validation, validation.starts(WINDOW, 24.0)
    )
    return Prior(net, statistics(), step_hours=24.0)


def observations(steps: int, noise: float = 0.2) -> Observations:
    """Block means of some weather; the second step is not seen."""
    value = BlockMean(2)(torch.from_numpy(weather(steps, seed=9))[None])[0]
    value[1] = float("nan")
    return Observations([Observation(BlockMean(2), value, noise**2, TIMES[:steps])])


def noisy(prior: Prior, steps: int, sigma: float) -> Tensor:
    shape = (3, steps, *prior.state_shape[1:])
    generator = torch.Generator().manual_seed(4)
    return (1 + sigma**2) ** 0.5 * torch.randn(shape, generator=generator)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_where_the_network_adds_nothing_it_is_moment_matching(prior, sigma):
    x, level, seen = noisy(prior, WINDOW, sigma), torch.tensor(sigma), observations(WINDOW)
    matched, start = mmps(prior, seen, x, level, iterations=4)
    found, begun = gaussian(prior, seen, x, level, iterations=4)
    torch.testing.assert_close(found, matched, atol=2e-4, rtol=0)
    torch.testing.assert_close(begun.solution, start.solution, atol=2e-3, rtol=1e-3)


def test_no_derivative_of_the_network_is_taken(prior, monkeypatch):
    def no_graph(self: Prior, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        assert not x.requires_grad and not torch.is_grad_enabled()
        return x / (1 + sigma**2)

    monkeypatch.setattr(Prior, "denoise", no_graph)
    gaussian(prior, observations(WINDOW), noisy(prior, WINDOW, 1.0), torch.tensor(1.0))


def test_over_a_composed_trajectory_it_is_that_of_the_composed_denoiser(prior):
    long, x, level = Composed(prior, STEPS, 2), noisy(prior, STEPS, 1.0), torch.tensor(1.0)
    clean = long.denoise(x, level, TIMES)
    torch.testing.assert_close(long.known(x, level), clean)
    moved = mmps(long, observations(STEPS), x, level, iterations=8)[0] - clean
    found = gaussian(long, observations(STEPS), x, level, iterations=8)[0] - clean
    assert (found - moved).norm() < 1e-3 * moved.norm()


def test_the_method_is_chosen_by_name_and_analyses_improve_on_the_climatology(prior):
    truth = weather(WINDOW, seed=9)
    ensemble = sample(prior, observations(WINDOW), 8, steps=12, method="gaussian")
    found = prior.normalisation.normalise(ensemble.values, TIMES[:WINDOW]).mean(0)
    assert ensemble.attrs["method"] == "gaussian"
    assert ((found - truth)[0] ** 2).mean() < 0.2 * (truth[0] ** 2).mean()
    assert len(LEVELS) == ensemble.sizes["level"]


def test_a_prior_without_a_base_says_what_to_do():
    prior = Prior(Denoiser(WINDOW, *SHAPE, width=[8]), statistics(), step_hours=24.0)
    with pytest.raises(SlamsError, match=r"set prior.pixel.modes above 0"):
        sample(prior, observations(WINDOW), 2, steps=4, method="gaussian", sigma_max=40.0)
    with pytest.raises(SlamsError, match=r"sampler\.sigma_max: a prior without a linear-Gaussian"):
        sample(prior, observations(WINDOW), 2, steps=4)
    with pytest.raises(SlamsError, match="mmps, gaussian, sda or dps"):
        guidance("best")
