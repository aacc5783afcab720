"""The paper's schedule: its ends, its variance, and the way back from a noise level."""

import math

import pytest
import torch

from slams.paper.schedule import ETA, mu, mu_of_level, sigma, time_of_level

CLOCK = torch.linspace(0, 1, 101, dtype=torch.float64)


def test_it_is_the_squared_cosine_from_one_to_eta():
    angle = math.acos(math.sqrt(1e-3))
    expected = [math.cos(angle * t) ** 2 for t in CLOCK.tolist()]
    assert mu(CLOCK).tolist() == pytest.approx(expected, rel=1e-12)
    assert mu(CLOCK)[[0, -1]].tolist() == pytest.approx([1, ETA], rel=1e-9)
    assert sigma(CLOCK)[[0, -1]].tolist() == pytest.approx([ETA, 1], rel=1e-9)
    assert (mu(CLOCK).diff() < 0).all() and (sigma(CLOCK).diff() > 0).all()


def test_it_preserves_the_variance_of_unit_data_but_for_eta():
    total = mu(CLOCK) ** 2 + sigma(CLOCK) ** 2
    torch.testing.assert_close(total, torch.full_like(total, 1 + ETA**2), rtol=1e-12, atol=0)


def test_a_noise_level_leads_back_to_its_time():
    level = sigma(CLOCK) / mu(CLOCK)
    assert level[0] == pytest.approx(ETA) and level[-1] == pytest.approx(1 / ETA, rel=1e-5)
    torch.testing.assert_close(mu_of_level(level), mu(CLOCK), rtol=1e-9, atol=0)
    torch.testing.assert_close(time_of_level(level), CLOCK, rtol=0, atol=1e-6)
    # In single precision too, which is what a sampler hands over.
    torch.testing.assert_close(time_of_level(level.float()), CLOCK, rtol=0, atol=1e-4)


def test_less_noise_than_the_schedule_has_is_its_least():
    assert float(time_of_level(torch.tensor(1e-5))) == 0
    assert float(mu_of_level(torch.tensor(0.0))) == 1
