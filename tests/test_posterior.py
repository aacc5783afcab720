"""The sampler against exact posteriors of linear-Gaussian worlds with an exact denoiser."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from worlds import LEVELS, SHAPE, IdealPrior, days

from slams.errors import SlamsError
from slams.observation import BlockMean, Identity, Observation, Observations
from slams.posterior import (
    CORRECTION_LIMIT,
    GAMMA,
    _on_device,
    guidance,
    mmps,
    noise_levels,
    sample,
    sample_states,
    sda,
)

POINTS = 64
TIMES = np.array(["2001-01-01"], dtype="datetime64[ns]")


class GaussianWorld:
    """x ~ N(0, C) on a ring; its denoiser is C (C + sigma^2)^-1 x, exactly."""

    def __init__(self, length: float = 6.0) -> None:
        position = np.arange(POINTS)
        apart = np.abs(position[:, None] - position[None])
        apart = np.minimum(apart, POINTS - apart)
        covariance = np.exp(-0.5 * (apart / length) ** 2) + 1e-4 * np.eye(POINTS)
        self.covariance = torch.from_numpy(covariance / covariance[0, 0])
        self.eigenvalues, self.vectors = torch.linalg.eigh(self.covariance)
        self.state_shape = (1, 1, 1, POINTS)

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        gain = self.eigenvalues / (self.eigenvalues + sigma.double() ** 2)
        flat = x.flatten(1).double() @ self.vectors * gain @ self.vectors.T
        return flat.float().view_as(x)

    def decode(self, x: Tensor) -> Tensor:
        return x

    def posterior(self, matrix: np.ndarray, y: Tensor, variance: float) -> tuple[Tensor, Tensor]:
        h = torch.from_numpy(matrix)
        c = self.covariance
        gain = c @ h.T @ torch.linalg.inv(h @ c @ h.T + variance * torch.eye(len(h)).double())
        return gain @ y.double(), c - gain @ h @ c


def few_precise() -> tuple[np.ndarray, float]:
    return np.eye(POINTS)[::8], 0.1**2


def many_noisy() -> tuple[np.ndarray, float]:
    return np.eye(POINTS)[::2], 0.5**2


def block_means() -> tuple[np.ndarray, float]:
    return np.kron(np.eye(8), np.full((1, 8), 1 / 8)), 0.2**2


def everywhere() -> tuple[np.ndarray, float]:
    return np.eye(POINTS), 1.0


def ensemble(
    world: GaussianWorld,
    matrix: np.ndarray,
    y: Tensor,
    variance: float,
    *,
    method: str = "mmps",
    members: int = 512,
    steps: int = 32,
    seed: int = 0,
) -> Tensor:
    h = torch.from_numpy(matrix).float()
    observation = Observation(
        lambda x: (x.flatten(1) @ h.T)[:, None, None, None],
        y.float()[None, None, None],
        variance,
        TIMES,
    )
    states = sample_states(
        world,
        Observations([observation]),
        members,
        guide=guidance(method),
        levels=noise_levels(steps, 0.02, 80.0),
        generator=torch.Generator().manual_seed(seed),
        times=TIMES,
    )
    return states.flatten(1).double()


def wasserstein(samples: Tensor, mean: Tensor, covariance: Tensor) -> float:
    """Gaussian 2-Wasserstein distance over the posterior standard deviation."""

    def root(matrix: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        return vectors * values.clamp_min(0).sqrt() @ vectors.T

    own = torch.cov(samples.T)
    middle = root(root(covariance) @ own @ root(covariance))
    squared = ((samples.mean(0) - mean) ** 2).sum() + torch.trace(own + covariance - 2 * middle)
    return float((squared.clamp_min(0) / torch.trace(covariance)).sqrt())


@pytest.mark.parametrize("case", [few_precise, many_noisy, block_means, everywhere])
def test_mmps_gives_the_exact_posterior(case):
    world = GaussianWorld()
    matrix, variance = case()
    torch.manual_seed(3)
    truth = world.vectors @ (world.eigenvalues.sqrt() * torch.randn(POINTS).double())
    y = torch.from_numpy(matrix) @ truth + variance**0.5 * torch.randn(len(matrix))
    mean, covariance = world.posterior(matrix, y, variance)
    samples = ensemble(world, matrix, y, variance)
    exact = torch.distributions.MultivariateNormal(mean, covariance + 1e-9 * torch.eye(POINTS))
    floor = np.mean([wasserstein(exact.sample((512,)), mean, covariance) for _ in range(16)])
    deviation = torch.diagonal(covariance).mean().sqrt()
    assert float((samples.mean(0) - mean).abs().mean() / deviation) < 0.1
    ratio = float((torch.trace(torch.cov(samples.T)) / torch.trace(covariance)).sqrt())
    assert 0.95 < ratio < 1.05
    assert wasserstein(samples, mean, covariance) < 1.3 * floor


def test_fewer_evaluations_stay_close():
    world = GaussianWorld()
    matrix, variance = few_precise()
    y = torch.from_numpy(matrix) @ (world.vectors @ world.eigenvalues.sqrt())
    mean, covariance = world.posterior(matrix, y, variance)
    samples = ensemble(world, matrix, y, variance, steps=8)
    assert wasserstein(samples, mean, covariance) < 0.25


def test_the_papers_score_is_further_from_the_posterior_than_moment_matching():
    world = GaussianWorld()
    matrix, variance = few_precise()
    y = torch.from_numpy(matrix) @ (world.vectors @ world.eigenvalues.sqrt())
    mean, covariance = world.posterior(matrix, y, variance)
    ours, paper = (
        wasserstein(ensemble(world, matrix, y, variance, method=m), mean, covariance)
        for m in ("mmps", "sda")
    )
    assert ours < paper < 1


def test_without_observations_the_prior_is_sampled():
    world = GaussianWorld()
    states = sample_states(
        world,
        None,
        512,
        guide=guidance("mmps"),
        levels=noise_levels(32, 0.02, 80.0),
        generator=torch.Generator().manual_seed(0),
        times=TIMES,
    )
    assert wasserstein(states.flatten(1).double(), torch.zeros(POINTS), world.covariance) < 0.2


def test_what_stands_in_a_missing_values_place_changes_nothing():
    world = GaussianWorld()
    value = torch.zeros(1, 1, 1, POINTS)
    value[..., 1::2] = torch.nan
    results = []
    for variance in (0.1, torch.where(torch.isnan(value), 1e6, 0.1)):
        observation = Observation(lambda x: x, value, variance, TIMES)
        results.append(
            sample_states(
                world,
                Observations([observation]),
                4,
                guide=guidance("mmps"),
                levels=noise_levels(8, 0.02, 80.0),
                generator=torch.Generator().manual_seed(0),
                times=TIMES,
            )
        )
    assert torch.equal(*results)


def test_divergence_is_an_error_that_names_the_step():
    class Diverging(GaussianWorld):
        def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
            return x * (torch.inf if sigma < 1 else 1.0)

    with pytest.raises(SlamsError, match=r"diverged at step \d+ of 8"):
        sample_states(
            Diverging(),
            None,
            2,
            guide=guidance("mmps"),
            levels=noise_levels(8, 0.02, 80.0),
            generator=torch.Generator().manual_seed(0),
            times=TIMES,
        )


def test_a_ladder_needs_two_levels_and_an_order():
    with pytest.raises(SlamsError, match="sigma_min below sigma_max"):
        noise_levels(8, 2.0, 1.0)
    with pytest.raises(SlamsError, match=r"sampler.method: 'best'"):
        guidance("best")


def matrix_operator(matrix: Tensor):
    """x -> H x, as observations (batch, n)."""
    return lambda x: x.flatten(1) @ matrix.T.float()


def drawn(world: GaussianWorld, seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(POINTS, generator=generator).double()
    return world.vectors @ (world.eigenvalues.sqrt() * normal)


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
    matrices = uneven_points(), torch.from_numpy(block_means()[0])
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
    world = GaussianWorld()
    one, other, h, y, variance = two_streams(world)
    mean, covariance = exact_posterior(world, h, y, variance)
    samples = states(world, one + other)
    assert wasserstein(samples, mean, covariance) < 0.15
    ratio = float((torch.trace(torch.cov(samples.T)) / torch.trace(covariance)).sqrt())
    assert 0.95 < ratio < 1.1
    # The sum is what a single stream of both would be, in either order.
    together = Observation(matrix_operator(h), y, variance, TIMES)
    for same in (Observations([together]), other + one):
        torch.testing.assert_close(states(world, same), samples, atol=5e-3, rtol=0)


def test_the_solver_goes_on_from_the_level_before():
    """Unevenly placed precise points: three iterations from nothing leave half a deviation."""
    world, h = GaussianWorld(), uneven_points()
    variance = torch.full((14,), 0.01)
    noise = torch.randn(14, generator=torch.Generator().manual_seed(8))
    y = (h @ drawn(world)).float() + variance.sqrt() * noise
    mean, covariance = exact_posterior(world, h, y, variance)
    observation = Observations([Observation(matrix_operator(h), y, variance, TIMES)])
    warm = wasserstein(states(world, observation), mean, covariance)

    def from_nothing(prior, given, x, sigma, start):
        return mmps(prior, given, x, sigma)[0], None

    samples = sample_states(
        world,
        observation,
        512,
        guide=from_nothing,
        levels=noise_levels(32, 0.02, 80.0),
        generator=torch.Generator().manual_seed(0),
        times=TIMES,
    )
    cold = wasserstein(samples.flatten(1).double(), mean, covariance)
    assert warm < 0.15
    assert cold > 2 * warm


def test_a_start_that_is_no_use_is_not_used():
    """Of another sign or size it does no harm; where the Jacobian is no covariance it is left."""
    world = GaussianWorld()
    one, other, *_ = two_streams(world)
    x = torch.randn(3, 1, 1, 1, POINTS, generator=torch.Generator().manual_seed(6))
    sigma, both = torch.tensor(1.0), one + other
    best, solution = mmps(world, both, x, sigma, iterations=30)
    for start in (solution, -3 * solution, 1e3 * solution, 0 * solution):
        again, _ = mmps(world, both, x, sigma, start, iterations=30)
        torch.testing.assert_close(again, best, atol=2e-3, rtol=0)
    at_once, _ = mmps(world, both, x, sigma, 7 * solution, iterations=0)
    torch.testing.assert_close(at_once, best, atol=2e-3, rtol=0)
    far = x + 20
    left, _ = mmps(Twisted(), both, far, sigma, solution)
    torch.testing.assert_close(left, Twisted().denoise(far, sigma, TIMES))


def test_an_error_that_the_operator_predicts_is_that_error():
    world = GaussianWorld()
    one, _, h, y, variance = two_streams(world)
    del one
    results = []
    for given in (variance, lambda x: variance.expand(len(x), -1)):
        observation = Observation(matrix_operator(h), y, given, TIMES)
        results.append(states(world, Observations([observation]), members=8))
    assert torch.equal(*results)


class DecodedWorld(GaussianWorld):
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
    mean, covariance = world.posterior((h @ world.basis).numpy(), y - h @ world.offset, 0.04)
    observation = Observation(matrix_operator(h), y, 0.04, TIMES)
    assert wasserstein(states(world, Observations([observation])), mean, covariance) < 0.2


@pytest.mark.parametrize("sigma", [0.05, 1.0, 20.0])
def test_with_enough_iterations_guidance_is_the_conditional_mean(sigma):
    """E[clean | x, y] of a Gaussian world: x and y are two observations of the clean state."""
    world = GaussianWorld()
    one, other, h, y, variance = two_streams(world)
    generator = torch.Generator().manual_seed(1)
    x = drawn(world) + sigma * torch.randn(3, POINTS, generator=generator)
    shaped = x.float().view(3, 1, 1, 1, POINTS)
    guided = mmps(world, one + other, shaped, torch.tensor(sigma), iterations=30)[0].flatten(1)
    precision = torch.linalg.inv(world.covariance) + torch.eye(POINTS) / sigma**2
    precision = precision + h.T @ torch.diag(1 / variance.double()) @ h
    right = x / sigma**2 + h.T @ (y / variance).double()
    expected = torch.linalg.solve(precision, right.T).T
    torch.testing.assert_close(guided.double(), expected, atol=3e-3, rtol=0)


def test_the_papers_guidance_is_its_score():
    world = GaussianWorld()
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


def test_members_do_not_feel_one_another():
    world = GaussianWorld()
    one, other, *_ = two_streams(world)
    x = 2 * torch.randn(4, 1, 1, 1, POINTS, generator=torch.Generator().manual_seed(6))
    x[3] *= 50
    sigma = torch.tensor(2.0)
    together, _ = mmps(world, one + other, x, sigma)
    alone = torch.cat([mmps(world, one + other, member[None], sigma)[0] for member in x])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


class Twisted(GaussianWorld):
    """A denoiser whose Jacobian is minus a covariance for the members that are far from zero."""

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        sign = torch.where(x.flatten(1).mean(1) > 5, -1.0, 1.0).view(-1, 1, 1, 1, 1)
        return sign * super().denoise(x, sigma, times)


def test_a_jacobian_that_is_no_covariance_stops_the_member_alone():
    x = torch.randn(2, 1, 1, 1, POINTS, generator=torch.Generator().manual_seed(7))
    x[1] += 20
    observation = Observation(Identity(), torch.ones(1, 1, 1, POINTS), 1e-4, TIMES)
    sigma = torch.tensor(1.0)
    found, _ = mmps(Twisted(), Observations([observation]), x, sigma)
    sane, _ = mmps(GaussianWorld(), Observations([observation]), x[:1], sigma)
    torch.testing.assert_close(found[:1], sane)
    assert float((found[:1] - 1).abs().max()) < float((x[:1] - 1).abs().max())
    torch.testing.assert_close(found[1:], Twisted().denoise(x[1:], sigma, TIMES))


@pytest.mark.parametrize("method", ["mmps", "sda"])
@pytest.mark.parametrize("sigma", [0.1, 10.0])
def test_a_correction_stays_within_the_priors_reach(method, sigma):
    world = GaussianWorld()
    absurd = Observation(Identity(), torch.full((1, 1, 1, POINTS), 1e4), 1e-4, TIMES)
    x = sigma * torch.randn(2, 1, 1, 1, POINTS, generator=torch.Generator().manual_seed(7))
    level = torch.tensor(sigma)
    guided, _ = guidance(method)(world, Observations([absurd]), x, level, None)
    size = (guided - world.denoise(x, level, TIMES)).flatten(1).pow(2).mean(1).sqrt()
    limit = CORRECTION_LIMIT * sigma / (1 + sigma**2) ** 0.5
    torch.testing.assert_close(size, torch.full((2,), limit), rtol=1e-3, atol=1e-4)


WINDOW_TIMES = days("2001-07-01", 2)


def window_of(value: float, variance: float = 1.0, operator=None) -> Observation:
    operator = operator or Identity()
    shape = operator(torch.zeros(1, 2, *SHAPE)).shape[1:]
    return Observation(operator, torch.full(shape, value), variance, WINDOW_TIMES)


@pytest.mark.parametrize("method", ["mmps", "sda"])
def test_an_ensemble_is_labelled_and_in_kelvin(method):
    prior = IdealPrior(2)
    ensemble = sample(prior, window_of(1.0), 3, steps=8, seed=5, method=method)
    assert ensemble.dims == ("member", "time", "level", "latitude", "longitude")
    assert ensemble.shape == (3, 2, *SHAPE)
    assert ensemble.dtype == np.float32
    assert ensemble.attrs["units"] == "K"
    np.testing.assert_array_equal(ensemble["time"], WINDOW_TIMES)
    np.testing.assert_array_equal(ensemble["level"], LEVELS)
    again = sample(prior, Observations([window_of(1.0)]), 3, steps=8, seed=5, method=method)
    np.testing.assert_array_equal(ensemble, again)
    other = sample(prior, window_of(1.0), 3, steps=8, seed=6, method=method)
    assert not np.array_equal(ensemble, other)
    assert not np.array_equal(ensemble[0], ensemble[1])


@pytest.mark.parametrize("space", ["pixel", "latent"])
def test_an_ensemble_has_the_posteriors_mean_and_spread(space):
    """States of variance one seen with variance one half: mean 2/3 of the value, variance 1/3."""
    prior = IdealPrior(2, space)
    operator = BlockMean(2) if space == "latent" else Identity()
    ensemble = sample(prior, window_of(1.5, 0.5, operator), 4, steps=32)
    normal = (ensemble.values - prior.normalisation.reference(WINDOW_TIMES)) / np.array(
        prior.normalisation.scale
    )[:, None, None]
    assert normal.mean() == pytest.approx(1.0, abs=0.02)
    assert normal.var() == pytest.approx(1 / 3, abs=0.02)
    if space == "latent":
        np.testing.assert_allclose(normal[..., ::2, ::2], normal[..., 1::2, 1::2], atol=1e-3)


def test_windows_and_members_that_do_not_fit_are_refused():
    with pytest.raises(SlamsError, match="span 2 steps, the prior's window is 3"):
        sample(IdealPrior(3), window_of(1.0), 2)
    with pytest.raises(SlamsError, match=r"sampler.members: 0"):
        sample(IdealPrior(2), window_of(1.0), 0)


def test_sampling_on_a_device_leaves_the_callers_observations_where_they_are():
    """Streams of several cases share one fitted network: moving one must not move the others."""

    class Networked(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x)

        def variance(self, x: Tensor) -> Tensor:
            return self.network(x).exp()

    network = nn.Linear(SHAPE[-1], SHAPE[-1])
    streams = []
    for _ in range(2):
        operator = Networked(network)
        value = torch.zeros(2, *SHAPE)
        streams.append(Observation(operator, value, operator.variance, WINDOW_TIMES))
    here, meta = Observations(streams[:1]), torch.device("meta")
    moved = _on_device(here, meta)
    x = torch.zeros(1, 2, *SHAPE)
    assert moved.value.device == moved.predict(x.to(meta)).device == meta
    assert moved.variance(x.to(meta)).device == meta
    for stream in streams:
        assert stream.value.device == stream.predict(x).device == stream.variance(x).device
        assert stream.value.device.type == "cpu"
    assert _on_device(here, torch.device("cpu")) is here
