"""The decoder's error as part of R: its size, and how often it is computed."""

import numpy as np
import pytest
import torch

from slams.grid import Grid
from slams.observation import BlockMean, Identity, Masked, Observation, Observations, Points
from slams.observation.persistence import PersistenceOperator
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


def test_points_have_the_error_of_their_level():
    fields, rebuilt = fields_and_rebuilt()
    operator = Points(Grid(45.0), [0.0, 10.0, -60.0], [0.0, 200.0, 350.0])
    found = representation_variance(
        Observation(operator, torch.zeros(2, 3, 3), 1.0, TIMES), fields, rebuilt
    )
    direct = ((operator(fields) - operator(rebuilt)) ** 2).mean((0, 1, 3))
    torch.testing.assert_close(found, direct[:, None])
    assert found[2] > 1.5 * found[0]


def test_an_earlier_field_has_the_error_of_its_level():
    fields, rebuilt = fields_and_rebuilt()
    operator = PersistenceOperator(2, np.ones((3, 2)), np.zeros((2, 3, 2, 4)))
    stream = Observation(operator, operator(fields)[0], 1.0, TIMES)
    found = representation_variance(stream, fields, rebuilt)
    plain = Observation(BlockMean(2), stream.full, 1.0, TIMES)
    torch.testing.assert_close(found, representation_variance(plain, fields, rebuilt))


def test_two_streams_of_one_name_have_errors_of_their_own():
    fields, rebuilt = fields_and_rebuilt()
    decoder = DecoderError(fields, rebuilt)
    for _ in range(2):
        one = Observation(Identity(), torch.zeros(SHAPE), 1.0, TIMES)
        other = Observation(BlockMean(2), torch.zeros(2, 3, 2, 4), 1.0, TIMES)
        decoder.add_to(one + other)
        for stream in (one, other):
            alone = Observation(stream.operator, stream.full, 1.0, TIMES)
            alone.inflate(representation_variance(alone, fields, rebuilt))
            torch.testing.assert_close(stream.variance(fields), alone.variance(fields))


def test_masked_cells_of_what_is_not_affine_are_asked_anew():
    fields, rebuilt = fields_and_rebuilt()
    decoder, mask = DecoderError(fields, rebuilt), np.ones((4, 8), dtype=bool)
    found = []
    for case in (1, 2):
        operator = Masked(mask, lambda x, case=case: case * x**2)
        stream = Observation(operator, torch.zeros(2, 3, 32), 1.0, TIMES)
        decoder.add_to(Observations([stream]))
        found.append(stream.variance(fields) - 1)
    torch.testing.assert_close(found[1], 4 * found[0])


class Counted:
    """Any operator, and how often it was asked."""

    def __init__(self, operator, affine: bool) -> None:
        self.operator, self.affine, self.asked = operator, affine, 0
        self.by_level = getattr(operator, "by_level", False)

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
