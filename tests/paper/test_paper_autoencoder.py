"""The paper's autoencoder: its shape, its size, and its weaknesses, which are kept."""

from itertools import pairwise

import pytest
import torch

from slams.autoencoder import Autoencoder
from slams.errors import SlamsError
from slams.paper.autoencoder import PaperAutoencoder, load_autoencoder, taper

ROWS, COLUMNS = 8, 16


def model(levels=10, seed=0):
    """Random weights, and running means that are not those of a new network."""
    torch.manual_seed(seed)
    net = PaperAutoencoder(levels, ROWS, COLUMNS)
    net(torch.randn(16, levels, ROWS, COLUMNS))
    return net.eval().requires_grad_(False)


def test_ten_levels_taper_as_the_papers_do():
    assert taper(10) == [9, 8, 7, 6, 5]
    net = model()
    sizes = [
        m.out_channels for side in (net.encoder, net.decoder) for m in side if "Conv" in str(m)
    ]
    assert sizes == [9, 8, 7, 6, 5, 6, 7, 8, 9, 10]
    assert sum(p.numel() for p in net.parameters()) == 14_695


@pytest.mark.parametrize("levels", [2, 3, 4, 7, 8, 13])
def test_other_levels_taper_evenly_to_half(levels):
    channels = [levels, *taper(levels)]
    assert len(channels) == 6 and channels[-1] == levels // 2
    steps = [before - after for before, after in pairwise(channels)]
    assert min(steps) >= 0 and max(steps) - min(steps) <= 1
    net = model(levels)
    x = torch.randn(3, levels, ROWS, COLUMNS)
    assert net.latent_shape == (levels // 2, ROWS, COLUMNS)
    assert tuple(net.encode(x).shape) == (3, *net.latent_shape)
    assert net.decode(net.encode(x)).shape == x.shape


def test_one_level_has_no_half():
    with pytest.raises(SlamsError, match=r"two or more in the key levels"):
        taper(1)


@pytest.mark.parametrize("leading", [(), (6,), (2, 3)])
def test_any_leading_dimensions_are_kept(leading):
    net, x = model(), torch.randn(6, 10, ROWS, COLUMNS)[: max(1, int(torch.tensor(leading).prod()))]
    shaped = x.reshape(*leading, 10, ROWS, COLUMNS)
    z = net.encode(shaped)
    torch.testing.assert_close(z.reshape(-1, *net.latent_shape), net.raw_latents(x))
    torch.testing.assert_close(net.decode(z).reshape(x.shape), net(x))


def test_latents_are_not_standardised_and_the_date_line_is_an_edge():
    net, x = model(), torch.randn(4, 10, ROWS, COLUMNS)
    doubled = net.encoder[-1]
    before = net.encode(x)
    doubled.weight *= 2
    doubled.bias *= 2
    torch.testing.assert_close(net.encode(x), 2 * before)
    turned = net.encode(x.roll(5, -1)).roll(-5, -1)
    assert not torch.allclose(turned, net.encode(x), atol=1e-3)


def test_a_file_says_whose_it_is(tmp_path):
    net, x = model(), torch.randn(2, 10, ROWS, COLUMNS)
    net.save(tmp_path / "paper.pt", note="kept")
    again = load_autoencoder(tmp_path / "paper.pt")
    assert isinstance(again, PaperAutoencoder) and not again.training
    assert again.settings == net.settings
    assert torch.equal(again.encode(x), net.encode(x))
    assert torch.equal(again.decode(net.encode(x)), net.decode(net.encode(x)))
    ours = Autoencoder(10, ROWS, COLUMNS, latent_channels=3, width=4)
    ours.save(tmp_path / "ours.pt")
    assert isinstance(load_autoencoder(tmp_path / "ours.pt"), Autoencoder)
