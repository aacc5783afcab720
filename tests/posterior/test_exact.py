"""The default sampler against exact posteriors: every world with every set of observations."""

import gaussian
import pytest
import torch
from gaussian import GaussianWorld, Problem, problem

from slams.posterior import guidance, noise_levels, sample_states

MEMBERS = 512
# A mean of 512 is too rough for a bias of .05: it would pass on one machine and fail on another.
MANY = 2048
WORLDS = {"ring": gaussian.Ring, "sphere": gaussian.sphere, "trajectory": gaussian.trajectory}


@pytest.fixture(scope="module", params=list(WORLDS))
def world(request: pytest.FixtureRequest) -> GaussianWorld:
    """A world, made once for all its sets of observations."""
    return WORLDS[request.param]()


@pytest.fixture(scope="module", params=list(gaussian.SETS))
def exact(request: pytest.FixtureRequest, world: GaussianWorld) -> tuple[Problem, float]:
    """A problem, and the distance of as many exact draws."""
    made = problem(world, request.param)
    return made, made.floor(MEMBERS, repeats=4)


def drawn(
    exact: Problem,
    steps: int,
    method: str = "mmps",
    first: float = 40.0,
    members: int = MEMBERS,
    **options: str,
) -> torch.Tensor:
    """Samples (member, size) by the settings of config/config.yaml, but for the levels."""
    levels = noise_levels(steps, 0.02, first)
    states = sample_states(
        exact.world,
        exact.observations,
        members,
        guide=guidance(method, 3, levels=levels, **options),
        levels=levels,
        generator=torch.Generator().manual_seed(0),
        times=exact.world.times,
    )
    return states.flatten(1).double()


@pytest.mark.parametrize(("evaluations", "first"), [(20, 40.0), (32, 500.0)])
def test_samples_are_as_good_as_exact_draws(exact, evaluations, first):
    """At the 20 evaluations of config/config.yaml, and from the first level of a large state."""
    given, floor = exact
    samples = drawn(given, evaluations, first=first, members=MANY)
    assert given.distance(samples[:MEMBERS]) < 1.3 * floor
    assert given.bias(samples) < 0.05
    assert 0.95 < given.spread(samples) < 1.05


def test_at_8_evaluations_samples_are_within_twice_the_floor(exact):
    given, floor = exact
    assert given.distance(drawn(given, 8)) < 2 * floor


@pytest.mark.parametrize("name", ["few precise", "mixed errors"])
def test_the_other_methods_are_further_away(name):
    """A check of the check: what is known to be wrong is seen to be."""
    given = problem(gaussian.Ring(), name)
    ours, paper, norm = (
        given.distance(drawn(given, 32, method)) for method in ("mmps", "sda", "dps")
    )
    assert 1.5 * ours < paper < 1
    assert paper < norm


@pytest.mark.parametrize("solver", ["gmres", "bicgstab"])
@pytest.mark.parametrize("name", ["mixed errors", "block means"])
def test_every_solver_leads_to_the_exact_posterior(name, solver):
    given = problem(gaussian.trajectory(), name)
    samples = drawn(given, 32, solver=solver)
    assert given.distance(samples) < 1.3 * given.floor(MEMBERS, repeats=4)
    assert 0.95 < given.spread(samples) < 1.05


def test_distances_are_those_of_the_closed_form():
    """The measures themselves: moved and widened draws of a known law."""
    given = problem(gaussian.Ring(16, 2.0), "few precise")
    draws = given.exact(60000, seed=1)
    assert given.distance(draws) < 0.02
    assert given.bias(draws) < 0.02
    wide = given.mean + 1.5 * (draws - given.mean)
    assert given.spread(wide) == pytest.approx(1.5, abs=0.01)
    # Both laws have one shape: the distance is half a standard deviation.
    assert given.distance(wide) == pytest.approx(0.5, abs=0.01)
    deviation = torch.trace(given.covariance).sqrt() / 16**0.5
    assert given.bias(draws + 0.3 * deviation) == pytest.approx(0.3, abs=0.01)
    assert given.distance(draws + 0.3 * deviation) == pytest.approx(0.3, abs=0.01)


def test_the_posterior_is_that_of_the_drawn_world():
    """The closed form, against draws of truth and observations: errors have its covariance."""
    world = gaussian.Ring(16, 2.0)
    matrix, variance = gaussian.SETS["few precise"](world)
    errors = []
    for seed in range(4000):
        _, mean, covariance = gaussian.observe(world, matrix, variance, seed=2 * seed)
        errors.append(world.draw(1, 2 * seed)[0] - mean)
    found = torch.stack(errors).T.cov(correction=0)
    assert float((found - covariance).abs().max()) < 0.06
