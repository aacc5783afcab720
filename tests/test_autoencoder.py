"""The autoencoder: what its latents are, and that its measures are those of a direct sum."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from slams import autoencoder
from slams.autoencoder import BOUND, Autoencoder, reconstruction_error, reconstruction_loss
from slams.errors import SlamsError
from slams.grid import Grid

GRID = Grid(22.5)  # 8 x 16 cells
LEVELS = 2


def model(seed=0, **settings):
    """An autoencoder with random weights everywhere, and statistics that are not 0 and 1."""
    torch.manual_seed(seed)
    settings = {"latent_channels": 3, "width": 8, "downsample": 2, **settings}
    net = Autoencoder(LEVELS, *GRID.shape, **settings)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape))
        net.mean.copy_(torch.randn(net.mean.shape))
        net.deviation.copy_(0.5 + torch.rand(net.deviation.shape))
    return net.eval()


def fields(count, seed=0):
    """Smooth normalised fields (count, level, latitude, longitude): few waves of each sign."""
    rng = np.random.default_rng(seed)
    latitude, longitude = np.deg2rad(GRID.latitude)[:, None], np.deg2rad(GRID.longitude)
    waves = np.stack(
        [np.sin(latitude) + 0 * longitude]
        + [np.cos(latitude) ** m * f(m * longitude) for m in (1, 2) for f in (np.cos, np.sin)]
    )
    mixed = np.tensordot(rng.normal(size=(count, LEVELS, len(waves))), waves, axes=1)
    return torch.from_numpy(mixed / mixed.std()).float()


def store_of(x):
    """What the functions ask of a store."""
    description = xr.Dataset(coords=GRID.coordinates())
    return SimpleNamespace(fields=x.numpy(), shape=tuple(x.shape[1:]), description=description)


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_latents_have_the_shape_they_announce(factor):
    net = model(downsample=factor)
    z = net.encode(fields(3))
    assert tuple(z.shape) == (3, *net.latent_shape) == (3, 3, 8 // factor, 16 // factor)
    assert net.decode(z).shape == (3, LEVELS, *GRID.shape)


@pytest.mark.parametrize("leading", [(), (6,), (2, 3), (1, 2, 3)])
def test_any_leading_dimensions_are_kept(leading):
    net, x = model(), fields(6)[: int(np.prod(leading))]
    shaped = x.reshape(*leading, LEVELS, *GRID.shape)
    z = net.encode(shaped)
    assert tuple(z.shape) == (*leading, *net.latent_shape)
    torch.testing.assert_close(z.reshape(-1, *net.latent_shape), net.encode(x))
    assert net.decode(z).shape == shaped.shape


def test_decoding_undoes_the_standardisation():
    net, x = model(), fields(4)
    rebuilt, raw = net(x)
    torch.testing.assert_close(net.decode(net.encode(x)), rebuilt)
    torch.testing.assert_close(net.encode(x) * net.deviation + net.mean, raw)
    assert raw.abs().max() <= BOUND
    assert net.raw_latents(1e4 * x).abs().max() <= BOUND


def test_noise_reaches_the_decoder_and_not_the_latents():
    net, x = model(), fields(2)
    noise = torch.randn(2, *net.latent_shape)
    rebuilt, raw = net(x, noise)
    assert torch.equal(raw, net(x)[1])
    torch.testing.assert_close(rebuilt, net.decoder(raw + noise))
    assert not torch.allclose(rebuilt, net(x)[0])


def test_a_turned_planet_has_turned_latents():
    net, x = model(), fields(2)
    torch.testing.assert_close(net.encode(x.roll(4, -1)), net.encode(x).roll(2, -1))
    z = net.encode(x)
    torch.testing.assert_close(net.decode(z.roll(3, -1)), net.decode(z).roll(6, -1))


def test_standardised_latents_have_mean_0_and_deviation_1(monkeypatch):
    net, x = model(), fields(50)
    monkeypatch.setattr(autoencoder, "FIELDS_AT_ONCE", 16)
    net.standardise(store_of(x))
    z = net.encode(x).double()
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        z.std((0, 2, 3), correction=0), torch.ones(3).double(), atol=1e-5, rtol=0
    )


def test_it_learns_a_handful_of_fields_by_heart():
    torch.manual_seed(0)
    net = Autoencoder(LEVELS, *GRID.shape, latent_channels=6, width=16, downsample=2)
    x, weights = fields(6), torch.ones(8, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        reconstruction_loss(net, x, weights).backward()
        optimizer.step()
    with torch.no_grad():
        assert (net(x)[0] - x).square().mean() < 0.02 * x.square().mean()


class Fixed(nn.Module):
    """An autoencoder that is wrong by a known amount."""

    def __init__(self, error, latents):
        super().__init__()
        self.error, self.latents, self.noise = error, latents, None

    def forward(self, x, noise=None):
        self.noise = noise
        return x + self.error, self.latents


def test_the_loss_is_the_weighted_square_and_the_penalty():
    x, weights = fields(2), torch.tensor([0.25, 0.5, 1, 2.25, 2.25, 1, 0.5, 0.25])[:, None]
    error = torch.arange(8.0)[:, None]
    # Latents beyond one are penalised by the excess of their square, those within are not.
    net = Fixed(error, torch.tensor([[0.5, -1.0, 2.0, -3.0]]))
    noise = torch.ones(1)
    expected = float((error**2 * weights).mean()) + 1e-3 * (3 + 8) / 4
    assert float(reconstruction_loss(net, x, weights, noise)) == pytest.approx(expected, rel=1e-6)
    assert net.noise is noise


def test_the_reconstruction_error_is_the_direct_area_weighted_sum(monkeypatch):
    net, x = model(), fields(7)
    monkeypatch.setattr(autoencoder, "FIELDS_AT_ONCE", 3)
    found = reconstruction_error(net, store_of(x))
    with torch.no_grad():
        square = ((net.decode(net.encode(x)) - x) ** 2).double().numpy()
    edges = np.deg2rad(np.linspace(90, -90, 9))
    area = np.broadcast_to((np.sin(edges[:-1]) - np.sin(edges[1:]))[:, None], GRID.shape)
    for level in range(LEVELS):
        weights = np.broadcast_to(area, square[:, level].shape)
        direct = np.sqrt(np.average(square[:, level], weights=weights))
        assert found[level] == pytest.approx(direct, rel=1e-5)


def test_a_saved_autoencoder_is_the_same_to_the_last_bit(tmp_path):
    net, x = model(depth=2, downsample=4), fields(2)
    net.save(tmp_path / "a.pt", note="kept")
    again = Autoencoder.load(tmp_path / "a.pt")
    assert again.settings == net.settings and not again.training
    assert torch.equal(again.encode(x), net.encode(x))
    assert torch.equal(again.decode(net.encode(x)), net.decode(net.encode(x)))
    assert torch.load(tmp_path / "a.pt", weights_only=True)["note"] == "kept"


@pytest.mark.parametrize("factor", [0, 3, 6, 16])
def test_a_factor_that_does_not_divide_names_its_key(factor):
    with pytest.raises(SlamsError, match=rf"autoencoder\.downsample: {factor} must.* 8 rows"):
        model(downsample=factor)
