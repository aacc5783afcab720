"""Quality control: what is refused, what is believed less, and what is left alone."""

import numpy as np
import pytest
import torch
from torch import Tensor

from slams.errors import SlamsError
from slams.observation import Identity, Observation
from slams.observation.quality import deweight, refuse_gross

TIMES = np.array(["2001-01-01"], dtype="datetime64[ns]")
NAN = float("nan")


def climate_and_case(values: int, fields: int, seed: int) -> tuple[Tensor, Tensor]:
    """Windows of another period, and one window's observations in K about 280 K."""
    generator = torch.Generator().manual_seed(seed)
    climate = 280 + 3 * torch.randn(fields, 1, 1, 1, values, generator=generator)
    truth = 280 + 3 * torch.randn(1, 1, 1, values, generator=generator)
    return climate, truth + torch.randn(truth.shape, generator=generator)


def test_a_gross_error_is_refused_and_an_ordinary_one_is_not():
    climate, value = climate_and_case(values=500, fields=24, seed=3)
    gross = torch.tensor([7, 70, 200, 499])
    value[..., gross] += torch.tensor([25.0, -25.0, 25.0, -25.0])
    value[..., 100:110] = NAN
    observation = Observation(Identity(), value, 1.0, TIMES, "stations")
    left, refused = refuse_gross(observation, climate, 5.0)
    assert left is observation
    assert refused == 4
    assert len(left) == 500 - 10 - 4
    assert torch.isnan(left.full[0, 0, 0, gross]).all()
    assert int(torch.isnan(left.full).sum()) == 14


def test_ordinary_observations_are_hardly_ever_refused():
    rates = {}
    for limit in (3.0, 5.0):
        climate, value = climate_and_case(values=50_000, fields=24, seed=4)
        observation = Observation(Identity(), value, 1.0, TIMES, "stations")
        rates[limit] = refuse_gross(observation, climate, limit)[1] / 50_000
    # A Gaussian has 0.0027 beyond three; the few fields that say what is to be expected add some.
    assert 0.0027 < rates[3.0] < 0.01
    assert rates[5.0] < 1e-4


def test_what_the_climate_does_not_vary_by_is_judged_by_the_error_alone():
    climate = torch.full((24, 1, 1, 1, 100), 280.0)
    value = torch.full((1, 1, 1, 100), 280.0)
    value[..., 0], value[..., 1] = 284.0, 286.0
    observation = Observation(Identity(), value, 1.0, TIMES, "stations")
    assert refuse_gross(observation, climate, 5.0)[1] == 1
    assert torch.isnan(observation.full[..., 1]).all()


def test_the_error_that_an_operator_predicts_is_averaged_over_the_climate():
    """The first of the fields is not all that is to be expected."""
    climate, value = climate_and_case(values=200, fields=24, seed=5)
    sure = torch.zeros(24, 1, 1, 1, 1)
    sure[0] = -4.0
    log_variance = sure.expand(climate.shape) + 2 * np.log(5.0)
    operator, fields = (lambda x: x[..., :200]), torch.cat([climate, log_variance], dim=-1)
    value[..., 0] += 25.0
    observation = Observation(operator, value, lambda x: x[..., 200:].exp(), TIMES, "imagery")
    # Five standard deviations of weather and error together are 29 K.
    assert refuse_gross(observation, fields, 5.0)[1] == 0
    assert refuse_gross(observation, fields, 2.5)[1] >= 1


def test_one_field_does_not_say_what_is_to_be_expected():
    climate, value = climate_and_case(values=10, fields=1, seed=6)
    observation = Observation(Identity(), value, 1.0, TIMES, "stations")
    with pytest.raises(SlamsError, match=r"stream stations: 1 windows .* periods.validation"):
        refuse_gross(observation, climate, 5.0)


def scalar_world(values: int, z: float) -> tuple[Observation, Tensor, Tensor]:
    """One-cell fields of variance 9 about zero, error 1; the last value lies z deviations off."""
    fields = 3 * torch.randn(
        400, 1, 1, 1, values, generator=torch.Generator().manual_seed(7), dtype=torch.float64
    )
    fields = (fields - fields.mean(0)) / fields.std(0) * 3
    value = torch.zeros(1, 1, 1, values)
    value[..., -1] = z * np.sqrt(10.0)
    return Observation(Identity(), value, 1.0, TIMES, "stations"), fields.float(), value


@pytest.mark.parametrize("z", [0.5, 2.0, 2.9, 3.1, 6.0, 12.0])
def test_the_influence_of_an_observation_stops_growing(z):
    """The scalar analysis B / (B + R') d is that of a departure of three deviations at most."""
    observation, fields, _ = scalar_world(20, z)
    deweighted = deweight(observation, fields, 3.0)
    error = observation.variance(fields[:1])[0]
    assert deweighted == int(z > 3)
    torch.testing.assert_close(error[:-1], torch.ones(19))
    moved = 9.0 / (9.0 + float(error[-1])) * float(observation.value[-1])
    assert moved == pytest.approx(0.9 * min(z, 3.0) * np.sqrt(10.0), rel=1e-4)
    # Huber's weight is what the innovation's variance is divided by.
    weight = min(1.0, 3.0 / z)
    assert float(error[-1]) + 9 == pytest.approx(10 / weight, rel=1e-4)


def test_believing_less_keeps_missing_values_missing_and_adds_up():
    observation, fields, value = scalar_world(20, 6.0)
    value[..., 3] = NAN
    observation = Observation(Identity(), value, 1.0, TIMES, "stations")
    observation.inflate(torch.tensor(0.5))
    assert deweight(observation, fields, 3.0) == 1
    error = observation.variance(fields[:1])[0]
    assert len(error) == 19
    torch.testing.assert_close(error[:-1], torch.full((18,), 1.5))
    z = 6.0 * np.sqrt(10.0) / np.sqrt(10.5)
    assert float(error[-1]) == pytest.approx(1.5 + 10.5 * (z / 3 - 1), rel=1e-4)


def test_the_error_that_an_operator_predicts_is_inflated_too():
    observation, fields, value = scalar_world(20, 6.0)
    predicted = Observation(Identity(), value, torch.ones_like, TIMES, "imagery")
    assert deweight(observation, fields, 3.0) == deweight(predicted, fields, 3.0) == 1
    torch.testing.assert_close(
        predicted.variance(fields[:2]), observation.variance(fields[:2]).expand(2, -1)
    )


def test_few_sound_observations_are_believed_less():
    climate, value = climate_and_case(values=50_000, fields=24, seed=8)
    observation = Observation(Identity(), value, 1.0, TIMES, "stations")
    share = deweight(observation, climate, 2.5) / 50_000
    # A Gaussian has 0.0124 beyond 2.5.
    assert 0.0124 < share < 0.03
    added = observation.variance(climate[:1])[0] - 1
    assert float(added.max()) < 10 and float(added.mean()) < 0.05
