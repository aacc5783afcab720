"""The walk down the ladder, the ensemble in K, and what is refused."""

import numpy as np
import pytest
import torch
from gaussian import Ring
from torch import Tensor, nn
from worlds import LEVELS, SHAPE, IdealPrior, days, statistics

from slams.autoencoder import Autoencoder
from slams.errors import SlamsError
from slams.observation import BlockMean, Identity, Observation, Observations
from slams.posterior import guidance, noise_levels, sample, sample_states
from slams.posterior.checks import refuse_implausible
from slams.prior import Denoiser, Prior

POINTS = 64
TIMES = Ring().times


def test_what_stands_in_a_missing_values_place_changes_nothing():
    world = Ring()
    value = torch.zeros(1, 1, 1, POINTS)
    value[..., 1::2] = torch.nan
    results = []
    for variance in (0.1, torch.where(torch.isnan(value), 1e6, 0.1)):
        observation = Observation(lambda x: x, value, variance, TIMES)
        results.append(
            sample_states(
                world,
                Observations([observation]),
                4,
                guide=guidance("mmps"),
                levels=noise_levels(8, 0.02, 80.0),
                generator=torch.Generator().manual_seed(0),
                times=TIMES,
            )
        )
    assert torch.equal(*results)


def walked(prior, *, steps=8):
    return sample_states(
        prior,
        None,
        2,
        guide=guidance("mmps"),
        levels=noise_levels(steps, 0.02, 80.0),
        generator=torch.Generator().manual_seed(0),
        times=TIMES,
    )


@pytest.mark.parametrize(
    ("factor", "size"), [(torch.inf, "inf|nan"), (torch.nan, "nan"), (1e3, "1")]
)
def test_divergence_is_an_error_that_names_step_level_and_norm(factor, size):
    class Diverging(Ring):
        def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
            x = super().denoise(x, sigma, times)
            if sigma < 1:
                x[1:] *= factor
            return x

    told = rf"diverged at step 5 of 8 \(sigma 0\.\d+\): member 1 has a root mean square of {size}"
    with pytest.raises(SlamsError, match=told):
        walked(Diverging())


def test_a_ladder_needs_two_levels_and_an_order():
    with pytest.raises(SlamsError, match="sigma_min below sigma_max"):
        noise_levels(8, 2.0, 1.0)
    with pytest.raises(SlamsError, match=r"sampler.method: 'best'"):
        guidance("best")
    with pytest.raises(SlamsError, match=r"sampler.solver: 'best' is none of cg, gmres, bicgstab"):
        guidance("mmps", solver="best")


WINDOW_TIMES = days("2001-07-01", 2)


def window_of(value: float, variance: float = 1.0, operator=None) -> Observation:
    operator = operator or Identity()
    shape = operator(torch.zeros(1, 2, *SHAPE)).shape[1:]
    return Observation(operator, torch.full(shape, value), variance, WINDOW_TIMES)


@pytest.mark.parametrize("method", ["mmps", "sda", "dps"])
def test_an_ensemble_is_labelled_and_in_kelvin(method):
    prior = IdealPrior(2)
    ensemble = sample(prior, window_of(1.0), 3, steps=8, seed=5, method=method)
    assert ensemble.dims == ("member", "time", "level", "latitude", "longitude")
    assert ensemble.shape == (3, 2, *SHAPE)
    assert ensemble.dtype == np.float32
    assert ensemble.attrs["units"] == "K"
    np.testing.assert_array_equal(ensemble["time"], WINDOW_TIMES)
    np.testing.assert_array_equal(ensemble["level"], LEVELS)
    again = sample(prior, Observations([window_of(1.0)]), 3, steps=8, seed=5, method=method)
    np.testing.assert_array_equal(ensemble, again)
    other = sample(prior, window_of(1.0), 3, steps=8, seed=6, method=method)
    assert not np.array_equal(ensemble, other)
    assert not np.array_equal(ensemble[0], ensemble[1])


@pytest.mark.parametrize("space", ["pixel", "latent"])
def test_an_ensemble_has_the_posteriors_mean_and_spread(space):
    """States of variance one seen with variance one half: mean 2/3 of the value, variance 1/3."""
    prior = IdealPrior(2, space)
    operator = BlockMean(2) if space == "latent" else Identity()
    ensemble = sample(prior, window_of(1.5, 0.5, operator), 16, steps=32)
    normal = (ensemble.values - prior.normalisation.reference(WINDOW_TIMES)) / np.array(
        prior.normalisation.scale
    )[:, None, None]
    assert normal.mean() == pytest.approx(1.0, abs=0.02)
    assert normal.var() == pytest.approx(1 / 3, abs=0.02)
    if space == "latent":
        np.testing.assert_allclose(normal[..., ::2, ::2], normal[..., 1::2, 1::2], atol=1e-3)


@pytest.mark.parametrize("method", ["mmps", "sda"])
def test_what_no_weather_looks_like_is_refused(method):
    """Observations far from all climate pull the members along: the message says where to."""
    value = torch.full((2, *SHAPE), torch.nan)
    value[1, 2, 3, 4] = 30.0
    far = Observation(Identity(), value, 1e-2, WINDOW_TIMES)
    told = (
        r"member \d is (29|30)\.?\d* standard deviations \(\+\d+\.?\d* K\) from the climatology "
        rf"at {LEVELS[2]:g} hPa, step 2, latitude .*, more than 8: train the prior longer"
    )
    with pytest.raises(SlamsError, match=told):
        sample(IdealPrior(2), far, 3, steps=16, method=method)
    kept = sample(IdealPrior(2), far, 3, steps=16, method=method, plausible=40.0)
    assert np.isfinite(kept).all()


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (lambda: seen(torch.full((2, *SHAPE), torch.nan)), "no observation: every value of every"),
        (lambda: seen(torch.full((2, *SHAPE), 280.0)), "stream background: an observation is 280"),
        (lambda: seen(variance=lambda x: -torch.ones_like(x)), "its operator predicts is not pos"),
        (lambda: seen(torch.zeros(2, 3, 2, 2)), "the operator gives"),
        (
            lambda: Observation(lambda x: x * torch.nan, torch.zeros(2, *SHAPE), 1.0, WINDOW_TIMES),
            "its operator gives no number",
        ),
    ],
)
def test_observations_that_cannot_be_are_told_before_anything_is_sampled(
    observation, message, monkeypatch
):
    def asked(self: IdealPrior, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        raise AssertionError("the sampler has begun")

    monkeypatch.setattr(IdealPrior, "denoise", asked)
    with pytest.raises(SlamsError, match=message):
        sample(IdealPrior(2), observation(), 2, steps=4)


def test_a_large_value_of_a_large_error_is_no_wrong_unit():
    sample(IdealPrior(2), seen(torch.full((2, *SHAPE), 150.0), 40.0**2), 2, steps=4, plausible=99)


def seen(value: Tensor | None = None, variance=0.5) -> Observation:
    """Every cell of two days."""
    full = torch.zeros(2, *SHAPE) if value is None else value
    return Observation(Identity(), full, variance, WINDOW_TIMES)


@pytest.mark.parametrize("solver", ["cg", "gmres", "bicgstab"])
def test_a_solver_needs_an_iteration(solver):
    with pytest.raises(SlamsError, match=r"sampler.solver_iterations: 0 must be at least 1"):
        guidance("mmps", 0, solver=solver)


@pytest.mark.parametrize("space", ["pixel", "latent"])
@pytest.mark.parametrize("method", ["mmps", "gaussian", "sda"])
def test_networks_in_bfloat16_draw_nearly_the_same(space, method):
    """The states, the decoded fields and the guidance stay in float32."""
    torch.manual_seed(0)
    coder, shape = None, SHAPE
    if space == "latent":
        coder = Autoencoder(*SHAPE, latent_channels=3, width=8)
        shape = coder.latent_shape
    denoiser = Denoiser(2, *shape, width=[8], modes=8)
    for weight in denoiser.parameters():  # the last layer begins at zero, and would say nothing
        torch.nn.init.normal_(weight, std=0.05)
    prior = Prior(denoiser, statistics(), step_hours=24.0, autoencoder=coder)
    ensembles = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            drawn = sample(prior, seen(), 2, steps=8, method=method, plausible=1e9)
        ensembles.append(drawn.values)
    assert ensembles[1].dtype == np.float32
    assert not np.array_equal(*ensembles)
    assert np.abs(ensembles[1] - ensembles[0]).mean() < 0.05 * ensembles[0].std()


def test_more_members_than_go_at_once_are_the_same_members():
    """And the network is asked for no more than a chunk at a time."""
    batches = []

    class Counted(IdealPrior):
        def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
            batches.append(len(x))
            return super().denoise(x, sigma, times)

        def known(self, x: Tensor, sigma: Tensor) -> Tensor:
            return x / (1 + sigma**2)

    together = sample(IdealPrior(2), seen(), 5, steps=6)
    apart = sample(Counted(2), seen(), 5, steps=6, chunk=2)
    np.testing.assert_allclose(apart, together, rtol=1e-5)
    assert max(batches) == 2


def test_plausible_is_by_the_level_or_the_cell_whichever_is_wider():
    prior = IdealPrior(2)
    prior.statistics["climatology_spread"][0, 0, 0] = 10 * prior.normalisation.scale[0]
    prior.statistics["climatology_spread"][1] = 0.0
    fields = np.zeros((2, 2, *SHAPE))
    fields[1, 1, 0, 0, 0], fields[1, 1, 1, 0, 0] = 70.0, 7.0
    refuse_implausible(prior, prior.to_kelvin(fields, WINDOW_TIMES), 8.0)
    with pytest.raises(SlamsError, match="member 1 is 7 standard deviations"):
        refuse_implausible(prior, prior.to_kelvin(fields, WINDOW_TIMES), 6.9)
    fields[0, 0, 0, 0, 0] = np.nan
    with pytest.raises(SlamsError, match="member 0 is nan standard deviations"):
        refuse_implausible(prior, prior.to_kelvin(fields, WINDOW_TIMES), 8.0)


def test_plausible_is_about_the_climatology_whatever_the_reference():
    """Normalised about an annual mean, a season's own temperature is no anomaly."""
    prior = IdealPrior(2, reference="mean")
    kelvin = prior.normalisation.climatology(WINDOW_TIMES)
    fields = prior.normalisation.normalise(kelvin, WINDOW_TIMES)[None]
    assert np.abs(fields).max() > 4
    refuse_implausible(prior, prior.to_kelvin(fields, WINDOW_TIMES), 0.1)


def test_windows_and_members_that_do_not_fit_are_refused():
    with pytest.raises(SlamsError, match="span 2 steps, the prior's window is 3"):
        sample(IdealPrior(3), window_of(1.0), 2)
    with pytest.raises(SlamsError, match=r"sampler.members: 0"):
        sample(IdealPrior(2), window_of(1.0), 0)


def test_sampling_on_a_device_leaves_the_callers_observations_where_they_are():
    """Streams of several cases share one fitted network: moving one must not move the others."""

    class Networked(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x)

        def variance(self, x: Tensor) -> Tensor:
            return self.network(x).exp()

    network = nn.Linear(SHAPE[-1], SHAPE[-1])
    streams = []
    for _ in range(2):
        operator = Networked(network)
        value = torch.zeros(2, *SHAPE)
        streams.append(Observation(operator, value, operator.variance, WINDOW_TIMES))
    here, meta = Observations(streams[:1]), torch.device("meta")
    moved = here.on(meta)
    x = torch.zeros(1, 2, *SHAPE)
    assert moved.value.device == moved.predict(x.to(meta)).device == meta
    assert moved.variance(x.to(meta)).device == meta
    for stream in streams:
        assert stream.value.device == stream.predict(x).device == stream.variance(x).device
        assert stream.value.device.type == "cpu"
    assert here.on(torch.device("cpu")) is here
