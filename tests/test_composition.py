"""Long trajectories composed of short windows: exact where they can be, bounded in memory."""

import numpy as np
import pytest
import torch
from gaussian import Founded, GaussianWorld, Problem, problem, trajectory
from torch import Tensor, nn
from worlds import SHAPE, IdealPrior, days

from slams.composition import Composed, window_weights
from slams.errors import SlamsError
from slams.observation import Identity, Observation, Observations
from slams.posterior import guidance, noise_levels, sample, sample_states
from slams.posterior.sampling import _over
from slams.statistics import year_fraction

CELLS = (2, 4, 8)  # channel, latitude, longitude


class Windows(nn.Module):
    """A learned-like state space of windows, which remembers how much it was asked at once."""

    def __init__(self, length: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.state_shape = (length, *CELLS)
        self.mix = nn.Conv2d(length * CELLS[0], length * CELLS[0], 3, padding=1)
        self.out = nn.Conv2d(CELLS[0], 3, 3, padding=1)
        self.batches: list[int] = []

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        assert x.shape[1:] == self.state_shape
        assert len(times) == self.state_shape[0]
        self.batches.append(len(x))
        season = float(year_fraction(times[0]))
        return (x + torch.tanh(self.mix(x.flatten(1, 2))).view_as(x) + season) / (1 + sigma**2)

    def decode(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        assert x.shape[1] <= self.state_shape[0]
        return torch.tanh(self.out(x.flatten(0, 1))).unflatten(0, x.shape[:2])


def plain(prior: Windows, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
    """The composition written out, with one graph for everything."""
    length, weights = prior.state_shape[0], window_weights(prior.state_shape[0]).float()
    steps = [[] for _ in range(x.shape[1])]
    for first in range(x.shape[1] - length + 1):
        window = slice(first, first + length)
        estimate = prior.denoise(x[:, window], sigma, times[window])
        for place in range(length):
            steps[first + place].append((weights[place], estimate[:, place]))
    means = [sum(w * e for w, e in step) / sum(w for w, _ in step) for step in steps]
    return torch.stack(means, 1)


def trajectories(members: int = 5, steps: int = 8) -> Tensor:
    return torch.randn(members, steps, *CELLS, generator=torch.Generator().manual_seed(1))


def observations(x: Tensor, prior: Windows) -> Observations:
    """Every value of the decoded fields, away from what the states would give."""
    with torch.no_grad():
        fields = torch.stack([prior.decode(step[None, None])[0, 0] for step in x[0]])
    return Observations(
        [Observation(Identity(), fields + 0.3, 0.04, days("2001-06-01", len(fields)))]
    )


@pytest.mark.parametrize("chunk", [1, 2, 5, 64])
def test_estimates_and_derivatives_are_those_of_one_graph(chunk):
    prior, x, sigma, times = Windows(), trajectories(), torch.tensor(0.7), days("2001-06-01", 8)
    composed, v = Composed(prior, 8, chunk), trajectories().flip(1)
    results = []
    for function in (composed.denoise, lambda *given: plain(prior, *given)):
        given = x.clone().requires_grad_()
        clean = function(given, sigma, times)
        gradients = [
            torch.autograd.grad(clean, given, direction, retain_graph=True)[0]
            for direction in (v, 2 * v, v)
        ]
        results.append([clean, *gradients])
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk", [1, 2, 64])
def test_decoding_has_its_derivative_both_ways(chunk):
    prior, x = Windows(), trajectories()
    composed, w = Composed(prior, 8, chunk), trajectories().flip(1)
    results = []
    for decode in (
        composed.decode,
        lambda x: prior.decode(x.flatten(0, 1)[:, None])[:, 0].unflatten(0, (5, 8)),
    ):
        given = x.clone().requires_grad_()
        fields = decode(given)
        blank = torch.ones_like(fields, requires_grad=True)
        (pulled,) = torch.autograd.grad(fields, given, blank, create_graph=True)
        (pushed,) = torch.autograd.grad(pulled, blank, w, retain_graph=True)
        (again,) = torch.autograd.grad(pulled, blank, w)
        results.append((fields, pulled, pushed, again))
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", ["mmps", "sda", "dps"])
def test_the_chunk_changes_memory_and_not_the_estimate(method):
    """Guidance through denoiser and decoder, the chunk's bound kept by every call."""
    sigma, x, guided = torch.tensor(0.7), trajectories(), []
    levels = noise_levels(8, 0.02, 40.0)
    for chunk in (1, 2, 64):
        prior = Windows()
        given = observations(x, prior)
        prior.batches.clear()
        composed = Composed(prior, 8, chunk)
        guided.append(guidance(method, levels=levels)(composed, given, x, sigma, None)[0])
        # The preconditioner's eight probes are decoded together where the chunk allows it.
        assert max(prior.batches) == min(chunk, 8 if method == "mmps" else 5)
    for other in guided[1:]:
        torch.testing.assert_close(other, guided[0], atol=1e-5, rtol=1e-5)
    assert float((guided[0] - Composed(prior, 8).denoise(x, sigma, given.times)).abs().max()) > 0.01


def test_no_graph_of_a_window_stays():
    """Of what a window's network keeps for its derivative, at most one window's is alive."""
    alive, most = 0, 0

    class Kept(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            nonlocal alive, most
            ctx.token = Token()
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    class Token:
        def __init__(self) -> None:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    class Counted(Windows):
        def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
            return super().denoise(Kept.apply(x), sigma, times)

    x = trajectories().requires_grad_()
    clean = Composed(Counted(), 8, 2).denoise(x, torch.tensor(1.0), days("2001-06-01", 8))
    for _ in range(3):
        torch.autograd.grad(clean, x, torch.ones_like(x), retain_graph=True)
    assert most == 1
    assert alive == 0


def test_each_window_has_its_own_season():
    class Season(IdealPrior):
        def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
            return torch.full_like(x, float((times[0] - times_of_all[0]) / np.timedelta64(1, "D")))

    times_of_all = days("2001-12-30", 5)
    clean = Composed(Season(3), 5).denoise(
        torch.zeros(1, 5, *SHAPE), torch.tensor(1.0), times_of_all
    )
    # Windows start on days 0, 1 and 2, with weights 1, 4, 1.
    expected = torch.tensor([0.0, (0 * 4 + 1) / 5, (0 + 1 * 4 + 2) / 6, (1 + 2 * 4) / 5, 2.0])
    torch.testing.assert_close(clean[0, :, 0, 0, 0], expected)


def test_steps_that_know_nothing_of_one_another_compose_exactly():
    full, short = trajectory(5, memory=0.0), trajectory(3, memory=0.0)
    x = 2 * torch.randn(3, *full.state_shape, generator=torch.Generator().manual_seed(0))
    for sigma in (0.1, 1.0, 10.0):
        level = torch.tensor(sigma)
        mine = Composed(short, 5).denoise(x, level, full.times)
        torch.testing.assert_close(mine, full.denoise(x, level, full.times))


def composed_samples(short: GaussianWorld, given: Problem) -> Tensor:
    """512 samples (member, size) of five steps, composed of the windows of ``short``."""
    states = sample_states(
        Composed(short, 5, chunk=512),
        given.observations,
        512,
        guide=guidance("mmps"),
        levels=noise_levels(32, 0.02, 40.0),
        generator=torch.Generator().manual_seed(0),
        times=given.world.times,
    )
    return states.flatten(1).double()


@pytest.mark.parametrize(
    ("name", "limit"), [("few precise", 2.1), ("mixed errors", 1.4), ("scattered", 1.7)]
)
def test_composed_samples_come_near_the_posterior_of_the_trajectory(name, limit):
    """Of three steps at a time where all five are bound together (0.8 from day to day)."""
    full, short = trajectory(5, memory=0.8), trajectory(3, memory=0.8)
    given = problem(full, name)
    samples = composed_samples(short, given)
    assert given.distance(samples) < limit * given.floor(512, repeats=4)
    assert 0.9 < given.spread(samples) < 1.1


def test_a_founded_world_knows_what_its_denoiser_knows():
    world = Founded(trajectory(3))
    x = 2 * torch.randn(4, *world.state_shape, generator=torch.Generator().manual_seed(0))
    for sigma in (0.1, 1.0, 10.0):
        level = torch.tensor(sigma)
        clean = world.denoise(x, level, world.times)
        torch.testing.assert_close(world.known(x, level), clean, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("memory", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("name", ["few precise", "mixed errors", "scattered", "nothing"])
def test_on_a_base_the_samples_are_as_good_as_exact_draws(name, memory):
    """A first-order autoregression is known from windows of three, however long its memory."""
    full, short = trajectory(5, memory=memory), Founded(trajectory(3, memory=memory))
    given = problem(full, name)
    samples = composed_samples(short, given)
    assert given.distance(samples) < 1.3 * given.floor(512, repeats=4)
    assert given.bias(samples) < 0.05
    assert 0.95 < given.spread(samples) < 1.05


def test_what_the_base_does_not_know_is_composed():
    """A base of shorter memory than the truth's: better than without one, and no more."""
    full, short = trajectory(5, memory=0.9), Founded(trajectory(3, memory=0.9))
    x = 1.5 * torch.randn(64, *full.state_shape, generator=torch.Generator().manual_seed(0))
    level, errors = torch.tensor(1.0), []
    for base in (None, Founded(trajectory(3, memory=0.6)).base, short.base):
        short.base = base
        found = Composed(short, 5).denoise(x, level, full.times)
        errors.append(float((found - full.denoise(x, level, full.times)).norm()))
    assert errors[2] < 1e-3 < errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize("space", ["pixel", "latent"])
def test_sample_composes_where_observations_span_more_steps(space):
    prior, times = IdealPrior(2, space), days("2001-07-01", 6)
    value = torch.full((6, *SHAPE), 1.5)
    value[1:4] = torch.nan
    observation = Observation(Identity(), value, 0.5, times)
    ensembles = [sample(prior, observation, 6, steps=16, chunk=chunk) for chunk in (1, 64)]
    np.testing.assert_allclose(*ensembles, rtol=1e-5)
    ensemble = ensembles[0]
    assert ensemble.shape == (6, 6, *SHAPE)
    np.testing.assert_array_equal(ensemble["time"], times)
    normal = (ensemble.values - prior.normalisation.reference(times)) / np.array(
        prior.normalisation.scale
    )[:, None, None]
    # Of variance one, seen with variance one half: alone, or by each of the four cells of a latent.
    seen = 1 / (1 + (0.5 if space == "pixel" else 0.125))
    assert normal[:, [0, 4, 5]].mean() == pytest.approx(1.5 * seen, abs=0.03)
    assert normal[:, 1:4].mean() == pytest.approx(0.0, abs=0.06)
    assert normal[:, 1:4].var() == pytest.approx(1.0, abs=0.1)


def test_what_cannot_be_composed_is_refused():
    with pytest.raises(SlamsError, match="2 steps are fewer than the prior's window of 3"):
        Composed(Windows(), 2)
    with pytest.raises(SlamsError, match="0 windows at once are none"):
        Composed(Windows(), 4, 0)
    uneven = days("2001-07-01", 4)
    uneven[3] += np.timedelta64(12, "h")
    with pytest.raises(SlamsError, match="24 to 36 hours apart, the prior's 24"):
        _over(IdealPrior(2), uneven, 4, 16)
    for times in (days("2001-07-01", 2)[::-1], uneven[2:]):
        with pytest.raises(SlamsError, match="hours apart, the prior's 24"):
            _over(IdealPrior(2), times, 4, 16)
