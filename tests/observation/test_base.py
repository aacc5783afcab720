"""Streams and their sums: what is missing, refused, added to the error, moved."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from slams.errors import SlamsError
from slams.observation import BlockMean, Identity, Observation, Observations

TIMES = np.array(["2001-01-01", "2001-01-02"], dtype="datetime64[ns]")
SHAPE = (2, 3, 4, 8)  # step, level, latitude, longitude
NAN = float("nan")


def numbered() -> Tensor:
    return torch.arange(float(np.prod(SHAPE))).view(SHAPE)


def test_what_stands_in_a_missing_values_place_is_dropped():
    value = numbered()
    missing = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) < 0.4
    value[missing] = NAN
    for stand_in in (NAN, -1.0, 0.0, float("inf")):
        variance = torch.where(missing, torch.tensor(stand_in), 1 + numbered())
        observation = Observation(Identity(), value, variance, TIMES)
        assert len(observation) == int((~missing).sum())
        assert torch.equal(observation.value, numbered()[~missing])
        assert torch.equal(observation.variance(numbered()[None])[0], 1 + numbered()[~missing])
        assert torch.equal(observation.predict(2 * numbered()[None])[0], 2 * numbered()[~missing])


def test_an_infinite_value_is_refused_by_name():
    value = numbered()
    value[0, 0, 0, 0] = -float("inf")
    with pytest.raises(SlamsError, match=r"stream stations: .* infinite; missing values are NaN"):
        Observation(Identity(), value, 1.0, TIMES, "stations")


@pytest.mark.parametrize("wrong", [0.0, -0.1, NAN, float("inf")])
def test_the_variance_of_a_value_must_be_positive_and_finite(wrong):
    variance = torch.ones(SHAPE)
    variance[1, 2, 3, 7] = wrong
    with pytest.raises(SlamsError, match=r"stream background: .* positive and finite"):
        Observation(Identity(), numbered(), variance, TIMES)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (2, 3, 0, 8)])
def test_a_stream_of_no_value_at_all_is_told(shape):
    with pytest.raises(SlamsError, match=r"stream stations: .* hold no value; leave the stream"):
        Observation(Identity(), torch.zeros(shape), 1.0, TIMES, "stations")


def test_a_mask_of_any_shape_that_broadcasts_marks_what_is_missing():
    step, cells = torch.tensor([True, False])[:, None, None, None], torch.rand(4, 8) < 0.5
    observation = Observation(Identity(), numbered(), 1.0, TIMES, mask=step & cells)
    assert torch.equal(observation.value, numbered()[0][:, cells].flatten())
    with pytest.raises(SlamsError, match=r"stream background: a mask of shape \(5,\) does not fit"):
        Observation(Identity(), numbered(), 1.0, TIMES, mask=np.ones(5))


def test_shapes_that_do_not_agree_are_refused():
    with pytest.raises(SlamsError, match=r"variance of shape \(5,\) does not fit"):
        Observation(Identity(), numbered(), torch.ones(5), TIMES)
    with pytest.raises(SlamsError, match=r"does not fit observations"):
        Observation(Identity(), numbered(), torch.ones(2, *SHAPE), TIMES)
    observation = Observation(BlockMean(2), numbered(), 1.0, TIMES)
    with pytest.raises(SlamsError, match=r"gives \(2, 3, 2, 4\), the observations are \(2, 3, 4"):
        observation.predict(numbered()[None])


@pytest.mark.parametrize("shape", [(), (1,), (8,), (4, 1), (3, 1, 1), (2, 1, 1, 1), SHAPE])
def test_a_variance_is_broadcast_to_the_values(shape):
    variance = 1 + torch.rand(shape, generator=torch.Generator().manual_seed(1))
    observation = Observation(Identity(), numbered(), variance, TIMES)
    full = variance.expand(SHAPE).flatten()
    assert torch.equal(observation.variance(numbered()[None])[0], full)


def test_the_callers_values_are_not_changed_by_a_refusal():
    given_values = numbered().numpy()
    observation = Observation(Identity(), given_values, 1.0, TIMES)
    observation.drop(torch.ones(len(observation), dtype=torch.bool))
    assert len(observation) == 0
    assert torch.isnan(observation.full).all()
    assert np.isfinite(given_values).all()


STEPS = st.lists(
    st.tuples(st.sampled_from(["drop", "level", "scalar", "cell"]), st.integers(0, 99)), max_size=5
)


@given(st.integers(0, 99), st.booleans(), STEPS)
def test_dropping_and_inflating_in_any_order_keeps_everything_aligned(seed, predicted, steps):
    """Against the same on whole arrays with a mask."""
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(SHAPE, generator=generator)
    seen = torch.rand(SHAPE, generator=generator) < 0.7
    value[~seen] = NAN
    variance = 0.1 + torch.rand(SHAPE, generator=generator)
    observation = Observation(
        Identity(), value, (lambda x: variance * x[:1] ** 0) if predicted else variance, TIMES
    )
    extra = torch.zeros(SHAPE)
    for kind, number in steps:
        generator = torch.Generator().manual_seed(number)
        if kind == "drop":
            refused = (torch.rand(SHAPE, generator=generator) < 0.3) & seen
            observation.drop(refused[seen])
            seen = seen & ~refused
        else:
            shape = {"level": (3, 1, 1), "scalar": (), "cell": SHAPE}[kind]
            more = torch.rand(shape, generator=generator)
            observation.inflate(more)
            extra = extra + more
    x = torch.randn(2, *SHAPE, generator=generator)
    assert len(observation) == int(seen.sum())
    assert torch.equal(observation.value, value[seen])
    assert torch.equal(torch.isfinite(observation.full), seen)
    assert torch.equal(observation.predict(x), x[:, seen])
    torch.testing.assert_close(observation.variance(x)[0], (variance + extra)[seen])


def test_a_predicted_variance_follows_each_member():
    value = numbered()
    value[0] = NAN
    observation = Observation(Identity(), value, lambda x: x**2, TIMES, "imagery")
    x = torch.stack([torch.full(SHAPE, 2.0), torch.full(SHAPE, 3.0)]).requires_grad_()
    variance = observation.variance(x)
    assert torch.equal(variance, torch.tensor([[4.0], [9.0]]).expand(2, 96))
    assert not variance.requires_grad
    observation.inflate(torch.tensor(1.0))
    assert torch.equal(observation.variance(x)[:, 0], torch.tensor([5.0, 10.0]))


def test_streams_add_up():
    a = Observation(Identity(), numbered(), 1.0, TIMES, "a")
    b = Observation(BlockMean(2), torch.full((2, 3, 2, 4), 7.0), 2.0, TIMES, "b")
    c = Observation(BlockMean(4), torch.full((2, 3, 1, 2), NAN), 3.0, TIMES, "c")
    x = torch.randn(5, *SHAPE)
    for together in (a + b + c, a + (b + c), Observations([a, b]) + Observations([c])):
        assert [stream.name for stream in together] == ["a", "b", "c"]
        assert len(together) == len(a) + len(b) == 192 + 48
        assert torch.equal(together.value, torch.cat([a.value, b.value]))
        assert torch.equal(together.predict(x), torch.cat([a.predict(x), b.predict(x)], dim=1))
        expected = torch.cat([torch.ones(5, 192), torch.full((5, 48), 2.0)], dim=1)
        assert torch.equal(together.variance(x), expected)
        assert np.array_equal(together.times, TIMES)


def test_streams_of_different_times_are_refused():
    a = Observation(Identity(), numbered(), 1.0, TIMES, "background")
    b = Observation(Identity(), numbered(), 1.0, TIMES + np.timedelta64(1, "h"), "imagery")
    with pytest.raises(SlamsError, match="background and imagery are of different times"):
        a + b
    with pytest.raises(SlamsError, match="no observation stream"):
        Observations([])


def test_all_of_a_stream_moves_to_a_device():
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return self.weight * x

    observation = Observation(Weighted(), numbered(), 1.0, TIMES)
    observation.inflate(torch.tensor(1.0))
    together = Observations([observation])
    meta = torch.device("meta")
    assert together.to(meta) is together
    assert together.value.device == meta
    x = torch.empty(3, *SHAPE, device=meta)
    assert together.predict(x).device == together.variance(x).device == meta


@pytest.mark.parametrize("kind", ["transposed", "expanded", "reversed"])
def test_values_may_lie_in_memory_in_any_order(kind):
    value = {
        "transposed": np.asfortranarray(numbered().numpy()),
        "expanded": torch.ones(1, 1, 1, 8).expand(SHAPE),
        "reversed": numbered().numpy()[::-1].copy(order="F"),
    }[kind]
    observation = Observation(Identity(), value, 1.0, TIMES)
    refused = torch.zeros(len(observation), dtype=torch.bool)
    refused[5] = True
    observation.drop(refused)
    assert torch.isnan(observation.full.flatten()).nonzero().tolist() == [[5]]
    np.testing.assert_array_equal(observation.value[:5], np.asarray(value).ravel()[:5])
