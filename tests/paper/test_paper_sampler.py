"""The paper's sampler in the worlds whose posterior is known: as far from it as was measured."""

import math

import numpy as np
import pytest
import torch
from gaussian import Problem, Ring, problem

from slams.errors import SlamsError
from slams.observation import Observation, Observations
from slams.paper.sampler import guided_noise, sample_states
from slams.posterior import sda

TIMES = Ring().times


class Counting(Ring):
    """A world that keeps the noise levels at which its denoiser is asked."""

    def __init__(self):
        super().__init__()
        self.levels = []

    def denoise(self, x, sigma, times):
        self.levels.append(float(sigma))
        return super().denoise(x, sigma, times)


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


def drawn(given: Problem, **settings):
    return draw(given.world, given.observations, **settings)


@pytest.mark.parametrize("name", ["few precise", "many noisy"])
def test_it_gives_nearly_the_exact_posterior_for_an_exact_denoiser(name):
    """512 evaluations. A network's errors and the cost are what speaks against it, not this."""
    given = problem(Ring(), name)
    samples = drawn(given, members=512, steps=256)
    assert given.distance(samples) < 1.6 * given.floor(512)
    assert 0.93 < given.spread(samples) < 1.02


@pytest.mark.parametrize(("name", "narrow"), [("few precise", 0.9), ("many noisy", 0.6)])
def test_it_is_the_corrections_that_do_it(name, narrow):
    """The predictor alone, and with corrections too small, leaves too narrow an ensemble."""
    given = problem(Ring(), name)
    alone = drawn(given, steps=256, corrections=0)
    weak = drawn(given, steps=256, tau=0.01)
    assert given.distance(alone) > given.distance(weak) > 0.3
    assert given.spread(alone) < narrow


def test_without_observations_the_prior_is_sampled():
    given = problem(Ring(), "nothing")
    assert given.distance(drawn(given, members=512, steps=128)) < 0.25


@pytest.mark.parametrize(("steps", "corrections"), [(16, 1), (16, 0), (5, 3)])
def test_a_step_takes_one_evaluation_and_one_a_correction(steps, corrections):
    world = Counting()
    drawn(problem(world, "many noisy"), members=2, steps=steps, corrections=corrections)
    assert len(world.levels) == steps * (1 + corrections)
    # From almost pure noise; the last correction is at the least noise there is.
    assert world.levels[0] == pytest.approx(1000, rel=1e-3)
    if corrections:
        assert world.levels[-1] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("level", [0.02, 0.5, 20.0])
def test_its_guidance_is_the_gaussian_score(level):
    """Ours with method sda adds the same gradient, where no bound holds it."""
    given = problem(Ring(), "many noisy")
    world, observations = given.world, given.observations
    x = torch.randn(4, *world.state_shape, generator=torch.Generator().manual_seed(1)) * (1 + level)
    sigma = torch.tensor(level)
    found = x - sigma * guided_noise(world, observations, x, sigma, TIMES)
    bounded, _ = sda(world, observations, x, sigma)
    correction = found - world.denoise(x, sigma, TIMES)
    limit = 3 * level / math.sqrt(1 + level**2)
    held = correction.flatten(1).pow(2).mean(1).sqrt() > limit
    assert not held.all()
    torch.testing.assert_close(found[~held], bounded[~held], rtol=1e-4, atol=1e-4)


def test_the_seed_alone_decides():
    given = problem(Ring(), "few precise")
    one, again, other = (drawn(given, members=2, seed=seed, steps=8) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


@pytest.mark.parametrize(("wrong", "after"), [(torch.inf, "(nan|inf)"), (-1e6, r"\d")])
def test_divergence_names_the_step_and_the_size(wrong, after):
    class Diverging(Ring):
        def denoise(self, x, sigma, times):
            return x * (wrong if sigma < 1 else 0.5)

    message = rf"diverged at step \d+ of 64 \(noise level .* member \d+.* before it and {after}"
    with pytest.raises(SlamsError, match=message):
        draw(Diverging(), None, members=2, steps=64)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"tau": 0.0}, {"corrections": -1}])
def test_what_is_no_sampler_names_its_section(wrong):
    with pytest.raises(SlamsError, match=r"^paper\.sampler: "):
        draw(Ring(), None, members=1, **wrong)


def test_values_of_missing_observations_change_nothing():
    world = Ring()
    value = torch.zeros(world.state_shape)
    value[..., 1::2] = torch.nan
    found = []
    for variance in (0.1, torch.where(torch.isnan(value), 1e6, 0.1)):
        observation = Observation(lambda x: x, value, variance, TIMES)
        found.append(draw(world, Observations([observation]), members=4, steps=8))
    assert np.array_equal(*found)
