"""Guidance and the walk: what enters the likelihood, what guards it, what is refused."""

import gaussian
import numpy as np
import pytest
import torch
from gaussian import GaussianWorld, Ring
from torch import Tensor

from slams.observation import Identity, Observation, Observations
from slams.posterior import (
    CORRECTION_LIMIT,
    GAMMA,
    Start,
    dps,
    guidance,
    mmps,
    noise_levels,
    sample_states,
    sda,
)
from slams.posterior.linear import SOLVERS

POINTS = 64
TIMES = Ring().times


def block_means() -> Tensor:
    """Means of eight points (8, POINTS)."""
    return torch.kron(torch.eye(8), torch.full((1, 8), 1 / 8)).double()


def wasserstein(samples: Tensor, mean: Tensor, covariance: Tensor) -> float:
    """Gaussian 2-Wasserstein distance over the posterior standard deviation."""
    return gaussian.Problem(Ring(), None, mean, covariance).distance(samples)


def matrix_operator(matrix: Tensor):
    """x -> H x, as observations (batch, n)."""
    return lambda x: x.flatten(1) @ matrix.T.float()


def drawn(world: GaussianWorld, seed: int = 3) -> Tensor:
    """A truth (size,)."""
    return world.draw(1, seed)[0]


def states(world, observations, *, members: int = 512, seed: int = 0, steps: int = 32) -> Tensor:
    found = sample_states(
        world,
        observations,
        members,
        guide=guidance("mmps"),
        levels=noise_levels(steps, 0.02, 80.0),
        generator=torch.Generator().manual_seed(seed),
        times=TIMES,
    )
    return found.flatten(1).double()


def uneven_points() -> Tensor:
    """14 points (14, POINTS) on one half of the ring, unevenly placed."""
    chosen = np.random.default_rng(0).choice(POINTS // 2, 14, replace=False)
    return torch.eye(POINTS).double()[np.sort(chosen)]


def two_streams(world: GaussianWorld) -> tuple[Observation, Observation, Tensor, Tensor, Tensor]:
    """Points on one half, block means whose errors differ all around; H, y and R of both."""
    matrices = uneven_points(), block_means()
    variances = torch.full((14,), 0.05), torch.linspace(0.1, 0.9, 8) ** 2
    truth, streams, values = drawn(world), [], []
    generator = torch.Generator().manual_seed(8)
    for name, h, variance in zip("ab", matrices, variances, strict=True):
        noise = variance.sqrt() * torch.randn(len(h), generator=generator)
        values.append((h @ truth).float() + noise)
        streams.append(Observation(matrix_operator(h), values[-1], variance, TIMES, name))
    return *streams, torch.cat(matrices), torch.cat(values), torch.cat(variances)


def exact_posterior(
    world: GaussianWorld, h: Tensor, y: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and covariance for errors of unequal variance."""
    c = world.covariance
    gain = c @ h.T @ torch.linalg.inv(h @ c @ h.T + torch.diag(variance.double()))
    return gain @ y.double(), c - gain @ h @ c


def test_two_streams_of_unequal_errors_give_the_exact_posterior():
    world = Ring()
    one, other, h, y, variance = two_streams(world)
    mean, covariance = exact_posterior(world, h, y, variance)
    samples = states(world, one + other)
    assert wasserstein(samples, mean, covariance) < 0.15
    # The sum is what a single stream of both would be, in either order.
    together = Observation(matrix_operator(h), y, variance, TIMES)
    for same in (Observations([together]), other + one):
        torch.testing.assert_close(states(world, same), samples, atol=5e-3, rtol=0)


def test_the_solver_goes_on_from_the_level_before():
    """Unevenly placed precise points: three iterations from nothing leave a fifth of a deviation.

    How much depends on the truth: of one it is twice, of another five times what they leave
    otherwise, hence the mean of six.
    """
    world, h = Ring(), uneven_points()
    variance = torch.full((14,), 0.01)
    noise = torch.randn(14, generator=torch.Generator().manual_seed(8))

    def from_nothing(prior, given, x, sigma, start):
        return mmps(prior, given, x, sigma)[0], None

    warm, cold = [], []
    for seed in range(3, 9):
        y = (h @ drawn(world, seed)).float() + variance.sqrt() * noise
        mean, covariance = exact_posterior(world, h, y, variance)
        observation = Observations([Observation(matrix_operator(h), y, variance, TIMES)])
        warm.append(wasserstein(states(world, observation), mean, covariance))
        samples = sample_states(
            world,
            observation,
            512,
            guide=from_nothing,
            levels=noise_levels(32, 0.02, 80.0),
            generator=torch.Generator().manual_seed(0),
            times=TIMES,
        )
        cold.append(wasserstein(samples.flatten(1).double(), mean, covariance))
    assert max(warm) < 0.15
    assert np.mean(cold) > 2 * np.mean(warm)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS.keys())
def test_a_start_that_is_no_use_is_not_used(solver):
    """Of another sign or size it does no harm; where the Jacobian is no covariance it is left."""
    world = Ring()
    one, other, *_ = two_streams(world)
    x = torch.randn(3, 1, 1, 1, POINTS, generator=torch.Generator().manual_seed(6))
    sigma, both = torch.tensor(1.0), one + other
    best, found = mmps(world, both, x, sigma, iterations=30, solver=solver)
    for factor in (1, -3, 1e3, 0):
        start = Start(factor * found.solution, found.squares)
        again, _ = mmps(world, both, x, sigma, start, iterations=30, solver=solver)
        torch.testing.assert_close(again, best, atol=2e-3, rtol=0)
    start = Start(7 * found.solution, found.squares)
    at_once, _ = mmps(world, both, x, sigma, start, iterations=0)
    torch.testing.assert_close(at_once, best, atol=2e-3, rtol=0)
    far = x + 20
    left, _ = mmps(Twisted(), both, far, sigma, found, solver=solver)
    torch.testing.assert_close(left, Twisted().denoise(far, sigma, TIMES))


def test_an_error_that_the_operator_predicts_is_that_error():
    world = Ring()
    one, _, h, y, variance = two_streams(world)
    del one
    results = []
    for given in (variance, lambda x: variance.expand(len(x), -1)):
        observation = Observation(matrix_operator(h), y, given, TIMES)
        results.append(states(world, Observations([observation]), members=8))
    assert torch.equal(*results)


class DecodedWorld(Ring):
    """States on the ring whose fields are another basis, scaled, shifted and finer."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.basis = torch.randn(2 * POINTS, POINTS, generator=generator).double() / POINTS**0.5
        self.offset = torch.randn(2 * POINTS, generator=generator).double()

    def decode(self, x: Tensor) -> Tensor:
        fields = x.flatten(1).double() @ self.basis.T + self.offset
        return fields.float().view(len(x), 1, 1, 1, 2 * POINTS)


def test_observations_of_decoded_fields_give_the_exact_posterior():
    """p(y | H(D(z))): the likelihood is of the fields, the samples are of the states."""
    world = DecodedWorld()
    h = torch.eye(2 * POINTS).double()[::8]
    fields = world.basis @ drawn(world) + world.offset
    y = h @ fields + 0.2 * torch.randn(len(h), generator=torch.Generator().manual_seed(4))
    variance = torch.full((len(h),), 0.04)
    mean, covariance = exact_posterior(world, h @ world.basis, y - h @ world.offset, variance)
    observation = Observation(matrix_operator(h), y, 0.04, TIMES)
    assert wasserstein(states(world, Observations([observation])), mean, covariance) < 0.2


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS.keys())
@pytest.mark.parametrize("sigma", [0.05, 1.0, 20.0])
def test_with_enough_iterations_guidance_is_the_conditional_mean(sigma, solver):
    """E[clean | x, y] of a Gaussian world: x and y are two observations of the clean state."""
    world = Ring()
    one, other, h, y, variance = two_streams(world)
    generator = torch.Generator().manual_seed(1)
    x = drawn(world) + sigma * torch.randn(3, POINTS, generator=generator)
    shaped = x.float().view(3, 1, 1, 1, POINTS)
    guided = mmps(world, one + other, shaped, torch.tensor(sigma), iterations=30, solver=solver)[0]
    guided = guided.flatten(1)
    precision = torch.linalg.inv(world.covariance) + torch.eye(POINTS) / sigma**2
    precision = precision + h.T @ torch.diag(1 / variance.double()) @ h
    right = x / sigma**2 + h.T @ (y / variance).double()
    expected = torch.linalg.solve(precision, right.T).T
    torch.testing.assert_close(guided.double(), expected, atol=3e-3, rtol=0)


def test_the_papers_guidance_is_its_score():
    world = Ring()
    one, other, h, y, variance = two_streams(world)
    sigma = 0.4
    x = 0.3 * torch.randn(2, POINTS, generator=torch.Generator().manual_seed(2)).double()
    shaped = x.float().view(2, 1, 1, 1, POINTS)
    guided = sda(world, one + other, shaped, torch.tensor(sigma))[0].flatten(1)
    jacobian = world.covariance @ torch.linalg.inv(
        world.covariance + sigma**2 * torch.eye(POINTS).double()
    )
    clean = x @ jacobian.T
    pull = (y - clean @ h.T) / (variance + GAMMA * sigma**2)
    correction = sigma**2 * pull @ h @ jacobian
    size = (correction**2).mean(1, keepdim=True).sqrt()
    limit = CORRECTION_LIMIT * sigma / (1 + sigma**2) ** 0.5
    expected = clean + correction * (limit / size).clamp(max=1)
    torch.testing.assert_close(guided.double(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS.keys())
def test_members_do_not_feel_one_another(solver):
    world = Ring()
    one, other, *_ = two_streams(world)
    x = 2 * torch.randn(4, 1, 1, 1, POINTS, generator=torch.Generator().manual_seed(6))
    x[3] *= 50
    sigma = torch.tensor(2.0)
    together, _ = mmps(world, one + other, x, sigma, solver=solver)
    alone = [mmps(world, one + other, member[None], sigma, solver=solver)[0] for member in x]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


class Twisted(Ring):
    """A denoiser whose Jacobian is minus a covariance for the members that are far from zero."""

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        sign = torch.where(x.flatten(1).mean(1) > 5, -1.0, 1.0).view(-1, 1, 1, 1, 1)
        return sign * super().denoise(x, sigma, times)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS.keys())
def test_a_jacobian_that_is_no_covariance_stops_the_member_alone(solver):
    x = torch.randn(2, 1, 1, 1, POINTS, generator=torch.Generator().manual_seed(7))
    x[1] += 20
    observation = Observation(Identity(), torch.ones(1, 1, 1, POINTS), 1e-4, TIMES)
    sigma = torch.tensor(1.0)
    found, _ = mmps(Twisted(), Observations([observation]), x, sigma, solver=solver)
    sane, _ = mmps(Ring(), Observations([observation]), x[:1], sigma, solver=solver)
    torch.testing.assert_close(found[:1], sane)
    assert float((found[:1] - 1).abs().max()) < float((x[:1] - 1).abs().max())
    torch.testing.assert_close(found[1:], Twisted().denoise(x[1:], sigma, TIMES))


@pytest.mark.parametrize("method", ["mmps", "sda"])
@pytest.mark.parametrize("sigma", [0.1, 10.0])
def test_a_correction_stays_within_the_priors_reach(method, sigma):
    world = Ring()
    absurd = Observation(Identity(), torch.full((1, 1, 1, POINTS), 1e4), 1e-4, TIMES)
    x = sigma * torch.randn(2, 1, 1, 1, POINTS, generator=torch.Generator().manual_seed(7))
    level = torch.tensor(sigma)
    guided, _ = guidance(method)(world, Observations([absurd]), x, level, None)
    size = (guided - world.denoise(x, level, TIMES)).flatten(1).pow(2).mean(1).sqrt()
    limit = CORRECTION_LIMIT * sigma / (1 + sigma**2) ** 0.5
    torch.testing.assert_close(size, torch.full((2,), limit), rtol=1e-3, atol=1e-4)


def test_an_ancestral_step_with_dps_is_that_of_its_paper():
    """In the variance-preserving units of the paper, where the shift is zeta times a gradient."""
    world, sigma, ratio, zeta = Ring(), torch.tensor(0.5), 0.3, 0.02
    one, *_ = two_streams(world)
    h, y = uneven_points().float(), one.value
    x = torch.randn(3, 1, 1, 1, POINTS, generator=torch.Generator().manual_seed(9))
    guided, _ = dps(world, Observations([one]), x, sigma, ratio=ratio, zeta=zeta)
    clean = world.denoise(x, sigma, TIMES)
    found = (1 - ratio) * guided + ratio * x
    scale, following = 1 / (1 + sigma**2).sqrt(), 1 / (1 + ratio * sigma**2).sqrt()
    scaled = (scale * x).requires_grad_()
    misfit = y - world.denoise(scaled / scale, sigma, TIMES).flatten(1) @ h.T
    (gradient,) = torch.autograd.grad(misfit.norm(dim=1).sum(), scaled)
    ancestral = following * ((1 - ratio) * clean + ratio * x)
    torch.testing.assert_close(following * found, ancestral - zeta * gradient, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="noise levels"):
        guidance("dps")


def test_the_preconditioner_knows_the_rows_of_the_operator():
    world = Ring()
    one, other, h, *_ = two_streams(world)
    _, start = mmps(world, one + other, torch.zeros(1, *world.state_shape), torch.tensor(1.0))
    expected = (h**2).sum(1).float()
    torch.testing.assert_close(start.squares[:14], expected[:14])  # points: exact
    assert 0.5 < float(start.squares[14:].mean() / expected[14:].mean()) < 2  # eight probes


def test_errors_of_all_sizes_need_no_more_iterations():
    """Variances that differ 1600-fold: preconditioned, three iterations come close."""
    given = gaussian.problem(gaussian.sphere(), "mixed errors")
    x = given.world.draw(4, 1).float().view(4, *given.world.state_shape)
    sigma = torch.tensor(0.5)
    x = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    best = mmps(given.world, given.observations, x, sigma, iterations=60)[0]
    few, start = mmps(given.world, given.observations, x, sigma, iterations=3)
    plain = Start(torch.zeros_like(start.solution), torch.zeros_like(start.squares))
    slow, _ = mmps(given.world, given.observations, x, sigma, plain, iterations=3)
    assert float((few - best).norm()) < 0.5 * float((slow - best).norm())
