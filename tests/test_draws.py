"""Random numbers of a step: what they depend on, and on what they do not."""

import pytest
import torch

from slams.draws import Draws


def uniform(count, generator):
    return torch.rand(count, generator=generator)


def test_they_depend_on_seed_step_and_stream_alone():
    def drawn(*key):
        draws = Draws(3, *key)
        return torch.cat([draws.few(uniform), draws.normal(2, 4).flatten()])

    first = drawn(1, 2)
    torch.manual_seed(99)
    assert torch.equal(drawn(1, 2), first)
    others = [drawn(1, 3), drawn(2, 2), drawn(1, 2, "validation"), drawn(12, 0), drawn(1, 20)]
    assert all(not (first == other).any() for other in others)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_shares_of_a_batch_add_up_to_it(size):
    whole = Draws(6, 4, 8)
    shares = [Draws(6, 4, 8, share=slice(n * 6 // size, (n + 1) * 6 // size)) for n in range(size)]
    for draw in (lambda d: d.few(uniform), lambda d: d.normal(5, 2), lambda d: d.normal(5, 2)):
        assert torch.equal(torch.cat([draw(share) for share in shares]), draw(whole))


def test_samples_and_calls_are_independent():
    draws = Draws(64, 0)
    one, other = draws.normal(1000), draws.normal(1000)
    correlation = torch.corrcoef(torch.cat([one, other]))
    off = correlation - torch.diag(torch.diagonal(correlation))
    assert float(off.abs().max()) < 0.17  # five standard deviations of 8,128 pairs
    assert float(one.mean()) == pytest.approx(0, abs=0.02)
    assert float(one.std()) == pytest.approx(1, abs=0.02)
