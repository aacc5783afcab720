"""Padding and convolutions on the sphere against the sphere itself; the U-Net's contracts."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from slams.nets import (
    FourierEmbedding,
    ResidualBlock,
    SphereConv2d,
    UNet,
    group_norm,
    pad_sphere,
    position_maps,
)

ROWS, COLUMNS = 6, 12


def randomised(net):
    """The net with every weight drawn at random: the zeros it starts with hide mistakes."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape))
    return net.eval()


def on_sphere(rows, columns):
    """Smooth fields at cell centres (row, column) of any index, also beyond poles and date line.

    Row -1 lies over the north pole: colatitude goes on to negative angles, and the unit vector
    of colatitude -c at longitude L is that of colatitude c at longitude L + 180 degrees.
    """
    colatitude = (torch.as_tensor(rows).double() + 0.5) * math.pi / ROWS
    longitude = (torch.as_tensor(columns).double() + 0.5) * 2 * math.pi / COLUMNS
    x = colatitude.sin()[:, None] * longitude.cos()
    y = colatitude.sin()[:, None] * longitude.sin()
    z = colatitude.cos()[:, None] * torch.ones_like(longitude)
    return torch.stack([x, y, z, x * y + z**2, y * z - x**3])


@pytest.mark.parametrize("width", [0, 1, 2, 5])
def test_padding_is_the_fields_own_continuation(width):
    inside = on_sphere(torch.arange(ROWS), torch.arange(COLUMNS))
    rows, columns = (torch.arange(-width, size + width) for size in (ROWS, COLUMNS))
    padded = pad_sphere(inside, width)
    assert padded.shape == (5, ROWS + 2 * width, COLUMNS + 2 * width)
    torch.testing.assert_close(padded, on_sphere(rows, columns), rtol=0, atol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_the_derivative_of_padding_is_its_adjoint_and_can_be_derived_again(width):
    x = torch.randn(2, ROWS, COLUMNS).double().requires_grad_()
    y = torch.randn(2, ROWS + 2 * width, COLUMNS + 2 * width).double()
    (back,) = torch.autograd.grad(pad_sphere(x, width), x, y)
    torch.testing.assert_close((back * x).sum(), (pad_sphere(x, width) * y).sum())
    assert torch.autograd.gradgradcheck(lambda x: pad_sphere(x, width) ** 2, x)


def test_padding_takes_any_leading_dimensions():
    x = torch.randn(2, 3, 4, ROWS, COLUMNS)
    torch.testing.assert_close(pad_sphere(x, 1)[1, 2, 3], pad_sphere(x[1, 2, 3], 1))


def test_a_convolution_is_the_sum_over_neighbours_on_the_sphere():
    torch.manual_seed(0)
    layer = SphereConv2d(5, 2).double()
    x = on_sphere(torch.arange(ROWS), torch.arange(COLUMNS))
    found = layer(x[None])[0]
    for row, column in [(0, 0), (0, 7), (ROWS - 1, COLUMNS - 1), (3, 0), (2, 5)]:
        near = on_sphere(torch.arange(row - 1, row + 2), torch.arange(column - 1, column + 2))
        expected = (layer.weight * near).sum((1, 2, 3)) + layer.bias
        torch.testing.assert_close(found[:, row, column], expected)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_convolutions_keep_size_and_turn_with_the_field(kernel):
    torch.manual_seed(0)
    layer, x = SphereConv2d(3, 4, kernel), torch.randn(2, 3, ROWS, COLUMNS)
    assert layer(x).shape == (2, 4, ROWS, COLUMNS)
    torch.testing.assert_close(layer(x.roll(5, -1)), layer(x).roll(5, -1))


def test_a_residual_block_begins_as_the_identity():
    torch.manual_seed(0)
    x, embedding = torch.randn(2, 8, ROWS, COLUMNS), torch.randn(2, 16)
    assert torch.equal(ResidualBlock(8, 8, 16)(x, embedding), x)
    wider = ResidualBlock(8, 12)
    torch.testing.assert_close(wider(x), F.conv2d(x, wider.skip.weight, wider.skip.bias))


def test_the_embedding_scales_and_shifts_between_the_convolutions():
    block = randomised(ResidualBlock(8, 8, 3))
    x, embedding = torch.randn(2, 8, ROWS, COLUMNS), torch.randn(2, 3)
    scale, shift = (embedding @ block.modulation.weight.T + block.modulation.bias).split(8, dim=1)
    h = block.first[2](F.silu(F.group_norm(x, 4, block.first[0].weight, block.first[0].bias)))
    h = F.group_norm(h, 4, block.norm.weight, block.norm.bias)
    h = h * (1 + scale.view(2, 8, 1, 1)) + shift.view(2, 8, 1, 1)
    torch.testing.assert_close(block(x, embedding), x + block.second[1](F.silu(h)))


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 20, 24, 32, 48, 50])
def test_every_channel_count_has_a_group_norm(channels):
    assert channels % group_norm(channels).num_groups == 0


def test_the_embedding_tells_noise_levels_apart():
    torch.manual_seed(0)
    embed = FourierEmbedding(32)
    assert embed.frequencies[[0, -1]].tolist() == pytest.approx([0.5, 8.0])
    levels = torch.linspace(-1.5, 1.5, 64)
    found = embed(levels)
    assert found.shape == (64, 32)
    apart = torch.cdist(found, found) + 1e9 * torch.eye(64)
    assert apart.min() > 1e-3
    assert FourierEmbedding(9)(levels).shape == (64, 9)


def test_the_unet_keeps_the_size_and_sees_input_and_scalar():
    net = randomised(UNet(3, 2, [4, 8, 8], blocks=1, embedding=8))
    x, scalar = torch.randn(2, 3, 8, 16), torch.tensor([0.1, 0.7])
    out = net(x, scalar)
    assert out.shape == (2, 2, 8, 16)
    assert not torch.allclose(out, net(x, scalar + 0.3))
    # Samples of a batch do not see each other.
    torch.testing.assert_close(net(x[1:], scalar[1:]), out[1:], rtol=1e-4, atol=1e-5)
    # Every output depends on every input, also across the poles and the date line.
    field = x[:1].clone().requires_grad_()
    net(field, scalar[:1])[0, 0, 0, 0].backward()
    assert (field.grad.abs() > 0).all()


def test_the_unet_turns_with_the_field_by_its_coarsest_cells():
    net = randomised(UNet(2, 2, [4, 8, 8], blocks=1, embedding=8))
    x, scalar = torch.randn(1, 2, 8, 16), torch.zeros(1)
    torch.testing.assert_close(net(x.roll(4, -1), scalar), net(x, scalar).roll(4, -1))


@pytest.mark.parametrize("shape", [(6, 12), (8, 14), (7, 16)])
def test_the_unet_refuses_sizes_that_do_not_halve(shape):
    net = UNet(1, 1, [4, 4, 4], blocks=1, embedding=8)
    with pytest.raises(RuntimeError, match=r"size"):
        net(torch.zeros(1, 1, *shape), torch.zeros(1))


def test_position_maps_are_the_cells_centres():
    maps = position_maps(4, 8, longitude=True)
    assert maps.shape == (4, 4, 8) and maps.dtype == torch.float32
    latitude = np.deg2rad([67.5, 22.5, -22.5, -67.5])[:, None]
    longitude = np.deg2rad(22.5 + 45 * np.arange(8))
    ones = np.ones(8)
    expected = [
        np.sin(latitude) * ones,
        np.cos(latitude) * ones,
        np.cos(latitude) * np.cos(longitude),
        np.cos(latitude) * np.sin(longitude),
    ]
    np.testing.assert_allclose(maps, np.stack(expected), atol=1e-6)
    zonal = position_maps(4, 8, longitude=False)
    assert torch.equal(zonal, maps[:2])
    assert torch.equal(zonal.roll(3, -1), zonal)
