"""The paper's sampler in the worlds whose posterior is known: as far from it as was measured."""

import math

import numpy as np
import pytest
import torch
from test_posterior import POINTS, TIMES, GaussianWorld, few_precise, many_noisy, wasserstein

from slams.errors import SlamsError
from slams.observation import Observation, Observations
from slams.paper.sampler import guided_noise, sample_states
from slams.posterior import sda


class Counting(GaussianWorld):
    """A world that counts how often its denoiser is asked, and at which noise levels."""

    def __init__(self):
        super().__init__()
        self.levels = []

    def denoise(self, x, sigma, times):
        self.levels.append(float(sigma))
        return super().denoise(x, sigma, times)


def observed(world, case):
    """Observations of a drawn truth, and the exact posterior's mean and covariance."""
    matrix, variance = case()
    torch.manual_seed(3)
    truth = world.vectors @ (world.eigenvalues.sqrt() * torch.randn(POINTS).double())
    y = torch.from_numpy(matrix) @ truth + variance**0.5 * torch.randn(len(matrix))
    h = torch.from_numpy(matrix).float()
    observation = Observation(
        lambda x: (x.flatten(1) @ h.T)[:, None, None, None],
        y.float()[None, None, None],
        variance,
        TIMES,
    )
    return Observations([observation]), *world.posterior(matrix, y, variance)


def draw(world, observations, members=256, seed=0, **settings):
    states = sample_states(
        world,
        observations,
        members,
        generator=torch.Generator().manual_seed(seed),
        times=TIMES,
        **settings,
    )
    return states.flatten(1).double()


def spread_ratio(states, covariance):
    return float((torch.trace(torch.cov(states.T)) / torch.trace(covariance)).sqrt())


@pytest.mark.parametrize("case", [few_precise, many_noisy])
def test_it_gives_the_exact_posterior_for_an_exact_denoiser(case):
    """512 evaluations: .10 and .11 away where 512 exact draws are .08 and .09, and a bit narrow."""
    world = GaussianWorld()
    observations, mean, covariance = observed(world, case)
    states = draw(world, observations, members=512, steps=256)
    assert wasserstein(states, mean, covariance) < 0.14
    assert 0.93 < spread_ratio(states, covariance) < 1.02


@pytest.mark.parametrize(("case", "narrow"), [(few_precise, 0.9), (many_noisy, 0.6)])
def test_it_is_the_corrections_that_do_it(case, narrow):
    """The predictor alone, and with corrections too small, leaves too narrow an ensemble."""
    world = GaussianWorld()
    observations, mean, covariance = observed(world, case)
    alone = draw(world, observations, steps=256, corrections=0)
    weak = draw(world, observations, steps=256, tau=0.01)
    assert wasserstein(alone, mean, covariance) > wasserstein(weak, mean, covariance) > 0.3
    assert spread_ratio(alone, covariance) < narrow


def test_without_observations_the_prior_is_sampled():
    world = GaussianWorld()
    states = draw(world, None, members=512, steps=128)
    assert wasserstein(states, torch.zeros(POINTS), world.covariance) < 0.25


@pytest.mark.parametrize(("steps", "corrections"), [(16, 1), (16, 0), (5, 3)])
def test_a_step_takes_one_evaluation_and_one_a_correction(steps, corrections):
    world = Counting()
    observations, *_ = observed(world, many_noisy)
    draw(world, observations, members=2, steps=steps, corrections=corrections)
    assert len(world.levels) == steps * (1 + corrections)
    # From almost pure noise; the last correction is at the least noise there is.
    assert world.levels[0] == pytest.approx(1000, rel=1e-3)
    if corrections:
        assert world.levels[-1] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("level", [0.02, 0.5, 20.0])
def test_its_guidance_is_the_gaussian_score(level):
    """Ours with method sda adds the same gradient, where no bound holds it."""
    world = GaussianWorld()
    observations, *_ = observed(world, many_noisy)
    x = torch.randn(4, 1, 1, 1, POINTS, generator=torch.Generator().manual_seed(1)) * (1 + level)
    sigma = torch.tensor(level)
    found = x - sigma * guided_noise(world, observations, x, sigma, TIMES)
    bounded, _ = sda(world, observations, x, sigma)
    correction = found - world.denoise(x, sigma, TIMES)
    limit = 3 * level / math.sqrt(1 + level**2)
    held = correction.flatten(1).pow(2).mean(1).sqrt() > limit
    assert not held.all()
    torch.testing.assert_close(found[~held], bounded[~held], rtol=1e-4, atol=1e-4)


def test_the_seed_alone_decides():
    world = GaussianWorld()
    observations, *_ = observed(world, few_precise)
    one, again, other = (draw(world, observations, 2, seed, steps=8) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


@pytest.mark.parametrize(("wrong", "after"), [(torch.inf, "(nan|inf)"), (-1e6, r"\d")])
def test_divergence_names_the_step_and_the_size(wrong, after):
    class Diverging(GaussianWorld):
        def denoise(self, x, sigma, times):
            return x * (wrong if sigma < 1 else 0.5)

    message = rf"diverged at step \d+ of 64 \(noise level .* member \d+.* before it and {after}"
    with pytest.raises(SlamsError, match=message):
        draw(Diverging(), None, members=2, steps=64)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"tau": 0.0}, {"corrections": -1}])
def test_what_is_no_sampler_names_its_section(wrong):
    with pytest.raises(SlamsError, match=r"^paper\.sampler: "):
        draw(GaussianWorld(), None, members=1, **wrong)


def test_values_of_missing_observations_change_nothing():
    world = GaussianWorld()
    value = torch.zeros(1, 1, 1, POINTS)
    value[..., 1::2] = torch.nan
    found = []
    for variance in (0.1, torch.where(torch.isnan(value), 1e6, 0.1)):
        observation = Observation(lambda x: x, value, variance, TIMES)
        found.append(draw(world, Observations([observation]), members=4, steps=8))
    assert np.array_equal(*found)
