"""An independent opinion: azula's exact denoiser and its guidance on the same problems."""

import gaussian
import pytest
import torch
from gaussian import GaussianWorld, problem
from torch import Tensor

from slams.posterior import dps, guidance, mmps, noise_levels, sample_states
from slams.posterior.linear import SOLVERS

REASON = "azula, which `make env` installs for the tests, is not there"
denoise = pytest.importorskip("azula.denoise", reason=REASON)
covariance = pytest.importorskip("azula.linalg.covariance", reason=REASON)
from others import METHODS, guidance_of  # noqa: E402  (needs azula)


def exact_denoiser(world: GaussianWorld) -> torch.nn.Module:
    """azula's denoiser of N(0, C), over flat states, in double precision."""
    from azula.noise import VESchedule  # noqa: PLC0415  (after the skip)

    values, vectors = torch.linalg.eigh(world.covariance)
    full = covariance.FullCovariance(vectors, values.clamp_min(1e-12))
    schedule = VESchedule(sigma_min=0.01, sigma_max=100.0)
    return denoise.GaussianDenoiser(torch.zeros(world.size).double(), full, schedule)


def noisy(world: GaussianWorld, sigma: Tensor, count: int = 3) -> Tensor:
    """The truth behind the observations with noise: far from it, ours bounds its corrections."""
    x = world.draw(1, 3).expand(count, -1)
    x = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    return x.float().view(count, *world.state_shape)


@pytest.mark.parametrize("time", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("make", [gaussian.Ring, gaussian.sphere, gaussian.trajectory])
def test_the_worlds_denoiser_is_azulas(make, time):
    world, t = make(), torch.tensor(time).double()
    theirs = exact_denoiser(world)
    _, sigma = theirs.schedule(t)
    x = noisy(world, sigma)
    expected = theirs(x.flatten(1).double(), t).mean
    mine = world.denoise(x, sigma, world.times).flatten(1).double()
    torch.testing.assert_close(mine, expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("name", ["few precise", "block means", "scattered"])
def test_moment_matching_is_azulas(name, sigma):
    """Solved to the end, since the two are not preconditioned alike."""
    given = problem(gaussian.Ring(), name)
    level = torch.tensor(sigma)
    x = noisy(given.world, level)
    mine, _ = mmps(given.world, given.observations, x, level, iterations=40)
    theirs = guidance_of("MMPS of azula", solver="cg", iterations=40)
    expected, _ = theirs(given.world, given.observations, x, level, None)
    torch.testing.assert_close(mine, expected, atol=5e-3, rtol=0)


@pytest.mark.parametrize("solver", ["cg", "gmres"])
@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_iterations_are_azulas(solver, iterations):
    """Of one error and one row size the preconditioner is a number, which changes nothing."""
    given = problem(gaussian.Ring(), "every 4th")
    level = torch.tensor(0.5)
    x = noisy(given.world, level)
    mine, _ = mmps(
        given.world, given.observations, x, level, iterations=iterations, solver=SOLVERS[solver]
    )
    theirs = guidance_of("MMPS of azula", solver=solver, iterations=iterations)
    expected, _ = theirs(given.world, given.observations, x, level, None)
    torch.testing.assert_close(mine, expected, atol=1e-4, rtol=1e-4)


def test_diffusion_posterior_sampling_is_azulas():
    """One step of its sampler on the variance-exploding ladder, where the gradient is the same."""
    from azula.guidance import DPSSampler  # noqa: PLC0415  (after the skip)

    given, zeta = problem(gaussian.Ring(), "few precise"), 0.05
    theirs = exact_denoiser(given.world)
    t, s = torch.tensor(0.6).double(), torch.tensor(0.5).double()
    (_, sigma), (_, following) = theirs.schedule(t), theirs.schedule(s)
    x, ratio = noisy(given.world, sigma, count=1), float((following / sigma) ** 2)
    y = given.observations.value.double()

    def operator(flat: Tensor) -> Tensor:
        return given.observations.predict(flat.float().view(-1, *given.world.state_shape)).double()

    shifts = []
    for strength in (zeta, 0.0):
        torch.manual_seed(0)
        sampler = DPSSampler(theirs, y, operator, zeta=strength, silent=True)
        shifts.append(sampler.step(x.flatten(1).double(), t, s))
    level = sigma.float()
    guided, _ = dps(given.world, given.observations, x, level, ratio=ratio, zeta=zeta)
    clean = given.world.denoise(x, level, given.world.times)
    units = ((1 + sigma**2) * (1 + following**2)).sqrt()  # of the paper's own schedule
    mine = (1 - ratio) * (guided - clean).flatten(1).double() / units
    torch.testing.assert_close(mine, shifts[0] - shifts[1], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "MMPS of azula"])
def test_other_methods_are_no_closer_than_moment_matching(name):
    given = problem(gaussian.Ring(), "few precise")
    distances = []
    for guide in (guidance("mmps"), guidance_of(name)):
        states = sample_states(
            given.world,
            given.observations,
            256,
            guide=guide,
            levels=noise_levels(16, 0.02, 40.0),
            generator=torch.Generator().manual_seed(0),
            times=given.world.times,
        )
        distances.append(given.distance(states.flatten(1).double()))
    assert distances[0] < distances[1] < 100
