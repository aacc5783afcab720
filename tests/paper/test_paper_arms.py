"""The paper's arms: what they observe of a truth, and that their ensembles are of that."""

import numpy as np
import pytest
import torch
from worlds import LEVELS, SHAPE, IdealPrior, days, store, weather

from slams.cases import Case
from slams.errors import SlamsError
from slams.observation import BlockMean, EveryNth, Identity, degrade
from slams.observation.background import Degraded
from slams.paper.arms import Undecoded, analyse, observe

WINDOW = 3
TIMES = days("2003-04-01", WINDOW)
TRUTH = weather(WINDOW, seed=4)
SAMPLER = {"members": 16, "steps": 64, "corrections": 1, "tau": 0.5, "gamma": 1e-2}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(store(tmp_path_factory.mktemp("store"), "test", TIMES, TRUTH), 0, WINDOW)


def test_in_pixel_space_it_is_the_background_that_all_arms_see(case):
    found = observe(IdealPrior(WINDOW), case, Degraded(BlockMean(2), 0.3, 2), seed=5)
    same = degrade(TRUTH, BlockMean(2), TIMES, noise=0.3, every=2, seed=5)
    torch.testing.assert_close(found.full, same.full, equal_nan=True)
    assert found.name == "background" and found.variance(torch.zeros(1)).unique().tolist() == [
        pytest.approx(0.09)
    ]


@pytest.mark.parametrize("operator", [BlockMean(2), EveryNth(2), Identity()])
def test_in_latent_space_the_operator_acts_on_the_encoded_truth(operator, case):
    prior = IdealPrior(WINDOW, "latent")
    found = observe(prior, case, Degraded(operator, 0.2, 1), seed=5)
    encoded = prior.encode(torch.from_numpy(TRUTH)[None])
    exact = operator(encoded)[0]
    assert found.full.shape == exact.shape
    # Every cell of the latent counts as one of the field would: no decoding in between.
    predicted = found.predict(encoded)[0]
    torch.testing.assert_close(predicted, exact.flatten())
    error = (found.value - predicted) / 0.2
    assert float(error.mean()) == pytest.approx(0, abs=0.2)
    assert float(error.std()) == pytest.approx(1, abs=0.15)


def test_steps_that_are_not_observed_are_missing(case):
    found = observe(IdealPrior(WINDOW, "latent"), case, Degraded(Identity(), 0.2, 2), seed=5)
    missing = torch.isnan(found.full).all(-1).all(-1).all(-1)
    assert missing.tolist() == [False, True, False]


class Coder(IdealPrior):
    """A latent prior whose decoding is counted."""

    def __init__(self, window):
        super().__init__(window, "latent")
        self.decoded = 0

    def decode(self, x):
        self.decoded += 1
        return super().decode(x)


def test_the_ensemble_is_the_latent_posterior_decoded_once(case):
    """White latents of variance one, each seen with variance one quarter: 0.8 of what was seen.

    The posterior's variance is 1/5. Langevin steps of tau over the mean square of the score find
    1 / (1 - tau / 2) of it where all directions vary alike: v = (1 - tau)^2 v + 2 tau / 5.
    """
    prior = Coder(WINDOW)
    seen = observe(prior, case, Degraded(Identity(), 0.5, 1), seed=5)
    found = analyse(prior, seen, SAMPLER, seed=6)
    assert prior.decoded == 1
    assert found.dims == ("member", "time", "level", "latitude", "longitude")
    assert found.shape == (16, WINDOW, *SHAPE) and found.attrs["method"] == "paper"
    np.testing.assert_array_equal(found["level"], LEVELS)
    states = prior.normalisation.normalise(found.values, TIMES)
    expected = super(Coder, prior).decode(0.8 * seen.full[None])[0].numpy()
    departure = states - expected
    assert departure.mean(0).std() < 0.2
    assert departure.var(0, ddof=1).mean() == pytest.approx(0.2 / (1 - 0.5 / 2), rel=0.05)


def test_the_sampler_sees_states_and_no_fields():
    prior = Coder(WINDOW)
    space, x = Undecoded(prior), torch.randn(2, *prior.state_shape)
    assert space.decode(x) is x and space.state_shape == prior.state_shape
    assert torch.equal(space.denoise(x, torch.tensor(1.0), TIMES), x / 2)
    assert prior.decoded == 0


@pytest.mark.parametrize("background", [None, "the field of yesterday"])
def test_any_other_background_is_refused(case, background):
    with pytest.raises(SlamsError, match=r"recipe: paper observes a degraded background"):
        observe(IdealPrior(WINDOW), case, background, seed=0)
