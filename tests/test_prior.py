"""The diffusion prior: preconditioning in closed form, a Gaussian it must learn, its file."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from slams.autoencoder import Autoencoder
from slams.draws import Draws
from slams.errors import SlamsError
from slams.grid import Grid
from slams.paper.autoencoder import PaperAutoencoder
from slams.paper.denoiser import EpsDenoiser
from slams.prior import Denoiser, Prior, denoising_loss, draw_sigma
from slams.statistics import fit

GRID = Grid(22.5)  # 8 x 16 cells
LEVELS = np.array([500.0, 850.0])
WINDOW = 3
TIMES = np.datetime64("2001-04-01", "ns") + np.arange(WINDOW) * np.timedelta64(1, "D")


def denoiser(channels=2, rows=8, columns=16, **settings):
    torch.manual_seed(0)
    settings = {"width": [8, 8], "blocks": 1, "embedding": 8, **settings}
    net = Denoiser(WINDOW, channels, rows, columns, **settings).eval()
    # What starts as zero would hide what the network makes of its inputs.
    torch.nn.init.normal_(net.net.leave[-1].weight, std=0.1)
    return net


class Answer(nn.Module):
    """A network that gives a fixed answer and keeps what it was asked."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x, scalar):
        self.x, self.scalar = x, scalar
        return self.value.expand(len(x), -1, -1, -1)


@pytest.fixture(scope="module")
def statistics():
    rng = np.random.default_rng(0)
    times = np.datetime64("2001-01-01", "ns") + np.arange(0, 364, 13) * np.timedelta64(1, "D")
    values = rng.normal(270, 9, (len(times), len(LEVELS), *GRID.shape))
    field = xr.DataArray(
        values,
        dims=("time", "level", "latitude", "longitude"),
        coords={"time": times, "level": LEVELS, **GRID.coordinates()},
    )
    return fit([field], GRID.area_weights, harmonics=1)


def autoencoder():
    torch.manual_seed(1)
    net = Autoencoder(len(LEVELS), *GRID.shape, latent_channels=3, width=4, downsample=2)
    with torch.no_grad():
        net.mean.normal_()
        net.deviation.uniform_(0.5, 2)
    return net


@pytest.fixture
def pixel(statistics):
    return Prior(denoiser(), statistics, step_hours=24)


@pytest.fixture
def latent(statistics):
    return Prior(denoiser(3, 4, 8), statistics, step_hours=12, autoencoder=autoencoder())


@pytest.fixture
def paper(statistics):
    """The paper's networks: the noise is predicted, latents keep the grid."""
    torch.manual_seed(1)
    coder = PaperAutoencoder(len(LEVELS), *GRID.shape)
    net = EpsDenoiser(WINDOW, *coder.latent_shape, width=[8, 8], blocks=1, embedding=8)
    with torch.no_grad():
        for parameter in [*coder.parameters(), *net.parameters()]:
            parameter.add_(0.1 * torch.randn(parameter.shape))
        coder(torch.randn(8, len(LEVELS), *GRID.shape))
    return Prior(net, statistics, step_hours=24, autoencoder=coder)


# Preconditioning


@pytest.mark.parametrize("sigma", [1e-4, 0.05, 1.0, 7.0, 1e4])
def test_the_preconditioning_is_karras_for_unit_variance(sigma):
    net = denoiser()
    answer = torch.randn(1, WINDOW * 2, 8, 16)
    net.net = Answer(answer)
    x = torch.randn(4, *net.state_shape)
    found = net(x, torch.full((4,), sigma), torch.full((4,), 0.25))
    skip, out = 1 / (sigma**2 + 1), sigma / math.sqrt(sigma**2 + 1)
    expected = skip * x + out * answer.view(1, *net.state_shape)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net.net.scalar, torch.full((4,), math.log(sigma) / 4))
    states, context = net.net.x[:, : WINDOW * 2], net.net.x[:, WINDOW * 2 :]
    torch.testing.assert_close(states, x.flatten(1, 2) / math.sqrt(sigma**2 + 1))
    assert torch.equal(context[:, :4], net.position.expand(4, -1, -1, -1))
    # A quarter of the year: cos 0, sin 1.
    torch.testing.assert_close(context[0, 4:, 3, 5], torch.tensor([0.0, 1.0]), atol=1e-6, rtol=0)


def test_its_limits():
    net = denoiser()
    x = torch.randn(2, *net.state_shape)
    season = torch.zeros(2)
    torch.testing.assert_close(net(x, torch.full((2,), 1e-5), season), x, rtol=0, atol=1e-3)
    # In pure noise nothing is seen: what comes out does not depend on it.
    noise = 1e6 * torch.randn(2, *net.state_shape)
    net.net = Answer(torch.full((1, WINDOW * 2, 8, 16), 0.7))
    found = net(noise, torch.full((2,), 1e6), season)
    torch.testing.assert_close(found, torch.full_like(found, 0.7), rtol=0, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_input_and_target_of_the_network_have_unit_variance(sigma):
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(64, WINDOW, 2, 8, 16, generator=generator)
    noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
    net = denoiser()
    net.net = Answer(torch.ones(1, WINDOW * 2, 8, 16))
    levels, season = torch.full((64,), sigma), torch.zeros(64)
    one = net(noisy, levels, season)
    assert float(net.net.x[:, : WINDOW * 2].std()) == pytest.approx(1, abs=0.02)
    net.net = Answer(torch.zeros(1, WINDOW * 2, 8, 16))
    zero = net(noisy, levels, season)
    # What the network must give for the denoiser to be exact.
    assert float(((clean - zero) / (one - zero)).std()) == pytest.approx(1, abs=0.02)


def test_the_loss_of_white_noise_is_one():
    """For white noise of unit variance D = x / (1 + sigma^2) is exact; its weighted loss is 1."""

    def exact(x, sigma, season):
        return x / (1 + sigma.view(-1, 1, 1, 1, 1) ** 2)

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(512, 1, 2, 8, 16, generator=generator)
    loss = denoising_loss(exact, x, torch.zeros(512), Draws(512, 0))
    assert float(loss) == pytest.approx(1, abs=0.01)
    perfect = denoising_loss(lambda *_: x, x, torch.zeros(512), Draws(512, 0))
    assert float(perfect) == 0


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_noise_levels_take_every_quantile_once(batch):
    sigma = draw_sigma(batch, torch.Generator().manual_seed(3))
    law = NormalDist(-0.5, 1.5)
    quantile = np.sort([law.cdf(math.log(level)) for level in sigma.tolist()])
    assert np.array_equal(np.floor(quantile * batch), np.arange(batch))
    if batch > 1:
        assert not torch.equal(sigma, sigma.sort().values)
        assert not torch.equal(sigma, sigma.sort(descending=True).values)


def test_noise_levels_cover_the_ends():
    sigma = torch.cat([draw_sigma(50, torch.Generator().manual_seed(n)) for n in range(400)])
    assert torch.isfinite(sigma).all()
    assert float(sigma.median()) == pytest.approx(math.exp(-0.5), rel=0.02)
    assert float((sigma > 10).double().mean()) == pytest.approx(0.031, abs=0.003)
    assert float((sigma < 0.04).double().mean()) == pytest.approx(0.035, abs=0.003)


# The network


def test_it_learns_a_planet_of_one_temperature():
    """Every cell holds the same N(0, 1) number, so its exact estimate is a shrunken mean.

    The network that gives zero is exact for white noise; here its loss stays at one.
    """
    net = denoiser(1, 4, 8, width=[16], longitude=False).train()
    cells = WINDOW * 4 * 8
    generator = torch.Generator().manual_seed(0)

    def draw(count):
        return torch.randn(count, 1, 1, 1, 1, generator=generator).expand(-1, *net.state_shape)

    optimizer = torch.optim.Adam(net.parameters(), lr=4e-3)
    for step in range(200):
        optimizer.zero_grad()
        denoising_loss(net, draw(32), torch.zeros(32), Draws(32, 0, step)).backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        assert float(denoising_loss(net, draw(512), torch.zeros(512), Draws(512, 1))) < 0.5
        for sigma in (0.3, 1.0, 3.0):
            x = draw(512) + sigma * torch.randn(512, *net.state_shape, generator=generator)
            mean = x.mean((1, 2, 3, 4), keepdim=True).expand_as(x)
            exact = mean * cells / (cells + sigma**2)
            found = net(x, torch.full((512,), sigma), torch.zeros(512))
            zero = x / (1 + sigma**2)
            assert (found - exact).square().mean() < 0.3 * (zero - exact).square().mean(), sigma


def test_longitude_is_seen_only_where_it_may_be():
    for longitude in (True, False):
        net = denoiser(longitude=longitude, width=[8])
        x, sigma, season = torch.randn(1, *net.state_shape), torch.ones(1), torch.zeros(1)
        same = torch.allclose(
            net(x.roll(5, -1), sigma, season), net(x, sigma, season).roll(5, -1), atol=1e-5
        )
        assert same is not longitude


def test_a_state_that_does_not_halve_is_named():
    with pytest.raises(SlamsError, match=r"3 widths halve the state's 6 x 12 cells 2 times"):
        denoiser(rows=6, columns=12, width=[8, 8, 8])


# The prior around it


def test_denoising_knows_the_day_of_the_first_step(pixel):
    x, sigma = torch.randn(2, *pixel.state_shape), torch.tensor(0.8)
    found = pixel.denoise(x, sigma, TIMES)
    season = torch.full((2,), 90 / 365.2425)
    assert torch.equal(found, pixel.denoiser(x, torch.full((2,), 0.8), season))
    assert torch.equal(found, pixel.denoise(x, sigma.double(), TIMES[[0, 0, 0]]))
    autumn = TIMES + np.timedelta64(183, "D")
    assert not torch.allclose(found, pixel.denoise(x, sigma, autumn), atol=1e-4)


def test_a_pixel_state_is_the_field(pixel):
    assert pixel.space == "pixel" and pixel.window == WINDOW
    assert pixel.state_shape == (WINDOW, 2, 8, 16)
    x = torch.randn(2, *pixel.state_shape)
    assert pixel.decode(x) is x and pixel.encode(x) is x


def test_a_latent_state_leads_to_fields_and_back(latent):
    assert latent.space == "latent" and latent.state_shape == (WINDOW, 3, 4, 8)
    fields = torch.randn(5, WINDOW, len(LEVELS), *GRID.shape)
    z = latent.encode(fields)
    assert z.shape == (5, *latent.state_shape)
    torch.testing.assert_close(z[3, 1], latent.autoencoder.encode(fields[3, 1][None])[0])
    decoded = latent.decode(z)
    assert decoded.shape == fields.shape
    torch.testing.assert_close(decoded[4, 2], latent.autoencoder.decode(z[4, 2][None])[0])


def test_gradients_reach_the_state_and_no_weight(latent):
    x = torch.randn(1, *latent.state_shape, requires_grad=True)
    latent.decode(latent.denoise(x, torch.tensor(1.0), TIMES)).sum().backward()
    assert x.grad.abs().sum() > 0
    networks = [latent.denoiser, latent.autoencoder]
    assert not any(p.requires_grad for net in networks for p in net.parameters())
    assert not any(net.training for net in networks)


@pytest.mark.parametrize("kind", ["pixel", "latent", "paper"])
def test_a_saved_prior_is_the_same_to_the_last_bit(kind, request, tmp_path):
    prior = request.getfixturevalue(kind)
    prior.save(tmp_path / "prior.pt")
    again = Prior.load(str(tmp_path / "prior.pt"))
    assert (again.space, again.step_hours) == (prior.space, prior.step_hours)
    assert type(again.denoiser) is type(prior.denoiser)
    assert type(again.autoencoder) is type(prior.autoencoder)
    assert again.denoiser.settings == prior.denoiser.settings
    x, sigma = torch.randn(2, *prior.state_shape), torch.tensor(0.5)
    assert torch.equal(again.denoise(x, sigma, TIMES), prior.denoise(x, sigma, TIMES))
    assert torch.equal(again.decode(x), prior.decode(x))
    assert torch.equal(again.encode(prior.decode(x)), prior.encode(prior.decode(x)))
    for name in [*prior.statistics.data_vars, *prior.statistics.coords]:
        xr.testing.assert_equal(again.statistics[name].variable, prior.statistics[name].variable)
    field = prior.normalisation.to_kelvin(np.zeros((WINDOW, 2, *GRID.shape)), TIMES)
    assert np.array_equal(
        again.normalisation.to_kelvin(np.zeros((WINDOW, 2, *GRID.shape)), TIMES), field
    )


def test_a_file_that_names_no_kinds_is_of_the_first(latent, tmp_path):
    """As files were before there were two."""
    latent.save(tmp_path / "prior.pt")
    state = torch.load(tmp_path / "prior.pt", weights_only=True)
    assert (state.pop("parameterisation"), state.pop("autoencoder_kind")) == ("karras", "sphere")
    torch.save(state, tmp_path / "old.pt")
    again = Prior.load(tmp_path / "old.pt")
    assert type(again.denoiser) is Denoiser and type(again.autoencoder) is Autoencoder
    state["parameterisation"] = "velocity"
    torch.save(state, tmp_path / "new.pt")
    with pytest.raises(SlamsError, match=r"new\.pt: not a prior of SLAMS"):
        Prior.load(tmp_path / "new.pt")


def other_file(kind, folder, prior):
    path = folder / "prior.pt"
    if kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "autoencoder":
        autoencoder().save(path)
    elif kind in ("tensor", "list"):
        torch.save(torch.zeros(3) if kind == "tensor" else [1], path)
    elif kind == "other weights":
        torch.save({"denoiser": denoiser().settings, "weights": autoencoder().state_dict()}, path)
    else:
        prior.save(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(float(kind) * len(whole))])
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "text",
        "empty",
        "autoencoder",
        "tensor",
        "list",
        "other weights",
        "0.2",
        "0.5",
        "0.9",
        "0.999",
    ],
)
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
def test_another_file_or_half_a_one_is_named(kind, tmp_path, latent):
    path = other_file(kind, tmp_path, latent)
    with pytest.raises(SlamsError, match=r"prior\.pt: not a prior of SLAMS, or not whole"):
        Prior.load(path)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(SlamsError, match=r"none\.pt: no such file; train it first"):
        Prior.load(tmp_path / "none.pt")
