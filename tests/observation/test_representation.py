"""The decoder's error as part of R: its size, and how often it is computed."""

import numpy as np
import torch

from slams.observation import BlockMean, Observation
from slams.observation.representation import representation_variance

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
