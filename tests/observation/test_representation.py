"""The decoder's error as part of R: its size, and how often it is computed."""

import numpy as np
import pytest
import torch

from slams.observation import BlockMean, Identity, Masked, Observation, Observations
from slams.observation.representation import DecoderError, representation_variance

TIMES = np.array(["2001-01-01", "2001-01-02"], dtype="datetime64[ns]")
SHAPE = (2, 3, 4, 8)  # step, level, latitude, longitude


def test_the_decoders_error_is_pooled_over_all_but_the_level():
    generator = torch.Generator().manual_seed(2)
    fields, rebuilt = torch.randn(2, 6, *SHAPE, generator=generator)
    value = torch.zeros(2, 3, 2, 4)
    observation = Observation(BlockMean(2), value, 1.0, TIMES)
    error = BlockMean(2)(fields - rebuilt).numpy()
    direct = np.array([np.mean(error[:, :, level] ** 2) for level in range(3)])
    found = representation_variance(observation, fields, rebuilt)
    assert found.shape == (3, 1, 1)
    np.testing.assert_allclose(found.flatten(), direct, rtol=1e-5)
    observation.inflate(found)
    expected = 1 + np.broadcast_to(direct[:, None, None], value.shape)
    np.testing.assert_allclose(observation.variance(fields)[0], expected.ravel(), rtol=1e-5)
    stations = Observation(lambda x: x.mean((2, 3)), torch.zeros(2, 8), 1.0, TIMES)
    found = representation_variance(stations, fields, rebuilt)
    direct = np.mean((fields - rebuilt).numpy().mean((2, 3)) ** 2)
    np.testing.assert_allclose(found, direct, rtol=1e-5)


def fields_and_rebuilt() -> tuple[torch.Tensor, torch.Tensor]:
    fields, rebuilt = torch.randn(2, 6, *SHAPE, generator=torch.Generator().manual_seed(3))
    return fields, rebuilt * torch.tensor([0.5, 1.0, 2.0])[:, None, None]


@pytest.mark.parametrize("by_level", [False, True])
def test_masked_cells_have_the_error_of_their_level(by_level):
    fields, rebuilt = fields_and_rebuilt()
    land = np.arange(32).reshape(4, 8) % 3 == 0
    mask = np.stack([land, ~land, land]) if by_level else land
    operator = Masked(mask)
    value = operator(torch.zeros(1, *SHAPE))[0]
    observation = Observation(operator, value, 1.0, TIMES)
    observation.inflate(representation_variance(observation, fields, rebuilt))
    each = ((fields - rebuilt) ** 2).mean((0, 1, 3, 4))
    expected = operator((1 + each)[None, None, :, None, None].expand(1, *SHAPE))[0]
    torch.testing.assert_close(observation.variance(fields)[0], expected.flatten())


class Counted:
    """Any operator, and how often it was asked."""

    def __init__(self, operator, affine: bool) -> None:
        self.operator, self.affine, self.asked = operator, affine, 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.asked += 1
        return self.operator(x)


def test_the_error_of_an_affine_stream_is_computed_once_a_cell():
    """And one whose operator depends on the case is computed for every case."""
    fields, rebuilt = fields_and_rebuilt()
    decoder = DecoderError(fields, rebuilt)
    same = Counted(BlockMean(2), affine=True)
    for case in range(3):
        own = Counted(lambda x, case=case: (1 + case) * x.mean(2), affine=False)
        background = Observation(same, torch.zeros(2, 3, 2, 4), 1.0, TIMES)
        imagery = Observation(own, torch.zeros(2, 4, 8), 1.0, TIMES, "imagery")
        decoder.add_to(background + imagery)
        alone = Observation(BlockMean(2), torch.zeros(2, 3, 2, 4), 1.0, TIMES)
        alone.inflate(representation_variance(alone, fields, rebuilt))
        assert torch.equal(background.variance(fields), alone.variance(fields))
        expected = ((fields - rebuilt).mean(2) ** 2).mean() * (1 + case) ** 2
        torch.testing.assert_close(imagery.variance(fields)[0, 0], 1 + expected)
        assert own.asked == 2
    assert same.asked == 2


def test_a_stream_that_saw_nothing_is_left_alone():
    decoder = DecoderError(*fields_and_rebuilt())
    empty = Observation(Identity(), torch.full(SHAPE, torch.nan), 1.0, TIMES)
    decoder.add_to(Observations([empty]))
    assert decoder.known == {} and empty.extra == 0.0
