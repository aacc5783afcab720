"""The denoiser that predicts the noise: its algebra in closed form, its loss, what it learns."""

import math

import pytest
import torch
from torch import nn

from slams.draws import Draws
from slams.errors import SlamsError
from slams.paper import schedule
from slams.paper.denoiser import EpsDenoiser, eps_loss

WINDOW, CHANNELS, ROWS, COLUMNS = 3, 2, 8, 16
STATES = WINDOW * CHANNELS


def denoiser(channels=CHANNELS, rows=ROWS, columns=COLUMNS, **settings):
    torch.manual_seed(0)
    settings = {"width": [8, 8], "blocks": 1, "embedding": 8, **settings}
    return EpsDenoiser(WINDOW, channels, rows, columns, **settings).eval()


class GaussianNoise(nn.Module):
    """The exact noise estimate for independent data of standard deviation ``spread``.

    x(t) = mu x + sigma e gives E[e | x(t)] = sigma x(t) / (mu^2 spread^2 + sigma^2).
    """

    def __init__(self, spread):
        super().__init__()
        self.spread = spread

    def forward(self, x, clock):
        t = clock.double().view(-1, 1, 1, 1)
        mu, sigma = schedule.mu(t), schedule.sigma(t)
        return (x[:, :STATES] * sigma / (mu**2 * self.spread**2 + sigma**2)).float()


@pytest.mark.parametrize("spread", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("level", [0.002, 0.1, 1.0, 30.0, 900.0])
def test_the_exact_noise_gives_the_exact_denoiser(spread, level):
    net = denoiser()
    net.net = GaussianNoise(spread)
    generator = torch.Generator().manual_seed(1)
    x = math.hypot(spread, level) * torch.randn(4, *net.state_shape, generator=generator)
    found = net(x, torch.full((4,), level), torch.zeros(4))
    exact = x * spread**2 / (spread**2 + level**2)
    # What is left of numbers of the size of the noise, in single precision.
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=2e-4 * max(spread, level))


def test_the_network_sees_unit_variance_the_place_and_the_day():
    net = denoiser()
    seen = {}

    class Watch(nn.Module):
        def forward(self, x, clock):
            seen.update(x=x, clock=clock)
            return x[:, :STATES]

    net.net = Watch()
    generator = torch.Generator().manual_seed(0)
    for level in (0.01, 1.0, 100.0):
        clean = torch.randn(16, *net.state_shape, generator=generator)
        noisy = clean + level * torch.randn(clean.shape, generator=generator)
        net(noisy, torch.full((16,), level), torch.full((16,), 0.25))
        assert float(seen["x"][:, :STATES].std()) == pytest.approx(1, abs=0.02)
        clock = float(schedule.time_of_level(torch.tensor(level)))
        assert seen["clock"].tolist() == pytest.approx([clock] * 16, abs=1e-4)
        assert torch.equal(seen["x"][0, STATES:-2], net.position)
        torch.testing.assert_close(seen["x"][0, -2:, 3, 5], torch.tensor([0.0, 1.0]))


def test_the_loss_is_that_of_the_noise():
    """Zero for the right noise; one where nothing is predicted; closed form for white data."""
    x = torch.randn(512, 1, 2, 4, 8, generator=torch.Generator().manual_seed(0))
    season = torch.zeros(512)

    def loss(model):
        return float(eps_loss(model, x, season, Draws(512, 1)))

    assert loss(lambda noisy, level, _: x) == pytest.approx(0, abs=1e-6)
    # Four standard deviations of the mean of so many squares.
    assert loss(lambda noisy, level, _: noisy) == pytest.approx(1, abs=0.03)

    def white(noisy, level, _):
        return noisy / (1 + level.view(-1, 1, 1, 1, 1) ** 2)

    # The variance of e given x(t), mu^2 / (mu^2 + sigma^2), averaged over uniform times: that
    # of cos(angle t)^4.
    clock = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    mu, sigma = schedule.mu(clock), schedule.sigma(clock)
    expected = float((mu**2 / (mu**2 + sigma**2)).mean())
    assert loss(white) == pytest.approx(expected, abs=0.03)


def test_it_learns_a_planet_of_one_temperature():
    """Every cell holds the same N(0, 1) number: its noise is what departs from the mean."""
    net = denoiser(1, 4, 8, width=[16], longitude=False).train()
    generator = torch.Generator().manual_seed(0)

    def draw(count):
        return torch.randn(count, 1, 1, 1, 1, generator=generator).expand(-1, *net.state_shape)

    optimizer = torch.optim.Adam(net.parameters(), lr=4e-3)
    for step in range(200):
        optimizer.zero_grad()
        eps_loss(net, draw(32), torch.zeros(32), Draws(32, 0, step)).backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        # White data's exact noise would leave a third.
        assert float(eps_loss(net, draw(512), torch.zeros(512), Draws(512, 1))) < 0.2


@pytest.mark.parametrize(
    ("channels", "width", "millions"), [(10, [64, 128, 256], 10.3), (5, [32, 64, 128], 2.6)]
)
def test_the_network_is_as_large_as_the_papers(channels, width, millions):
    net = EpsDenoiser(5, channels, ROWS, COLUMNS, width=width, blocks=3, embedding=64)
    count = sum(p.numel() for p in net.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.05)


def test_the_network_follows_the_size_of_what_it_sees():
    """Residual paths are linear from end to end: the larger the state, the larger the noise."""
    net = denoiser()
    x, clock = torch.randn(1, STATES + 6, ROWS, COLUMNS), torch.tensor([0.5])
    with torch.no_grad():
        small, large = net.net(1e3 * x, clock), net.net(1e5 * x, clock)
    torch.testing.assert_close(large / 100, small, rtol=0.05, atol=0.05 * float(small.std()))


def test_a_turned_planet_has_turned_noise():
    net = denoiser(longitude=False)
    x, sigma, season = torch.randn(1, *net.state_shape), torch.ones(1), torch.zeros(1)
    turned = net(x.roll(6, -1), sigma, season).roll(-6, -1)
    torch.testing.assert_close(turned, net(x, sigma, season), atol=1e-5, rtol=1e-4)


def test_a_state_that_does_not_halve_is_named():
    with pytest.raises(SlamsError, match=r"3 widths halve the state's 6 x 12 cells 2 times"):
        denoiser(rows=6, columns=12, width=[8, 8, 8])


def test_a_network_too_narrow_for_the_noise_is_named():
    with pytest.raises(SlamsError, match=r"5 channels .* do not carry .* 3 steps of 2 channels"):
        denoiser(width=[5, 8])


def test_padded_circularly_the_poles_meet():
    """As the paper has it: turned in latitude as in longitude, and told nothing of either."""
    net = denoiser(padding="circular", context=False)
    assert net.net.enter.in_channels == STATES
    x = torch.randn(2, *net.state_shape, generator=torch.Generator().manual_seed(2))
    level, season = torch.ones(2), torch.tensor([0.1, 0.6])
    found = net(x, level, season)
    for by, dimension in ((4, -2), (6, -1)):  # halved evenly
        torch.testing.assert_close(
            net(x.roll(by, dimension), level, season), found.roll(by, dimension)
        )
    torch.testing.assert_close(net(x, level, 1 - season), found)
    sphere = denoiser(context=False)
    assert not torch.allclose(
        sphere(x.roll(4, -2), level, season), sphere(x, level, season).roll(4, -2), atol=1e-3
    )
    assert {**net.settings, "padding": "sphere"} == sphere.settings


def test_the_padding_is_that_of_the_papers_convolutions():
    net = denoiser(padding="circular", context=False).net
    x = torch.randn(2, 8, ROWS, COLUMNS, generator=torch.Generator().manual_seed(2))
    for ours, stride in ((net.leave, 1), (net.coarsen[0], 2)):
        theirs = nn.Conv2d(
            8, ours.out_channels, 3, stride=stride, padding=1, padding_mode="circular"
        )
        theirs.load_state_dict(ours.state_dict())
        torch.testing.assert_close(ours(x), theirs(x))
    with pytest.raises(SlamsError, match=r"padding 'zeros' is not sphere or circular"):
        denoiser(padding="zeros")
