"""The guidance of azula (MIT), as guidance of ours: an independent opinion, and more methods.

azula is installed for tests and benchmarks only (`make env`), and SLAMS does without it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from slams.observation import Observations
from slams.posterior import Guidance, Start
from slams.prior import StateSpace

try:
    from azula.denoise import Denoiser, DiracPosterior
    from azula.guidance import DiffPIRDenoiser, JFPSDenoiser, MMPSDenoiser, TMPDenoiser
    from azula.linalg.covariance import DiagonalCovariance, IsotropicCovariance
    from azula.noise import Schedule
except ImportError:
    METHODS: dict[str, Callable[..., Tensor]] = {}
else:

    class _Level(Schedule):
        """The time is the noise level, the signal keeps its size."""

        def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
            return torch.ones_like(t), t

    class _Ours(Denoiser):
        """A state space as azula's denoiser, over flat states (batch, size)."""

        def __init__(self, prior: StateSpace, observations: Observations) -> None:
            super().__init__()
            self.prior, self.times, self.schedule = prior, observations.times, _Level()

        def forward(self, x: Tensor, t: Tensor) -> DiracPosterior:
            clean = self.prior.denoise(x.unflatten(1, self.prior.state_shape), t, self.times)
            return DiracPosterior(mean=clean.flatten(1))

    def _given(prior: StateSpace, observations: Observations) -> tuple[Tensor, Callable, Tensor]:
        """Values (n,), operator on flat states and error variances (n,)."""
        blank = torch.zeros(1, *prior.state_shape)

        def operator(x: Tensor) -> Tensor:
            return observations.predict(prior.decode(x.unflatten(1, prior.state_shape)))

        return observations.value, operator, observations.variance(prior.decode(blank))[0]

    def _mmps(prior: StateSpace, observations: Observations, **options: object) -> Denoiser:
        y, operator, variance = _given(prior, observations)
        errors = DiagonalCovariance(variance)
        return MMPSDenoiser(_Ours(prior, observations), y, operator, errors, **options)

    def _tmpd(prior: StateSpace, observations: Observations) -> Denoiser:
        return TMPDenoiser(_Ours(prior, observations), *_given(prior, observations))

    def _diffpir(prior: StateSpace, observations: Observations) -> Denoiser:
        y, operator, variance = _given(prior, observations)
        return DiffPIRDenoiser(
            _Ours(prior, observations), y, operator, variance, solver="cg", iterations=3
        )

    def _jfps(prior: StateSpace, observations: Observations) -> Denoiser:
        y, operator, variance = _given(prior, observations)
        one = IsotropicCovariance(torch.ones(()))  # the prior's variance, all that it is told
        return JFPSDenoiser(
            _Ours(prior, observations),
            y,
            operator,
            DiagonalCovariance(variance),
            one,
            solver="cg",
            iterations=3,
        )

    METHODS = {
        "MMPS of azula": _mmps,
        "TMPD": _tmpd,
        "DiffPIR": _diffpir,
        "JFPS, unit covariance": _jfps,
    }


def guidance_of(name: str, **options: object) -> Guidance:
    """A method of :data:`METHODS` as guidance."""

    def guide(
        prior: StateSpace,
        observations: Observations,
        x: Tensor,
        sigma: Tensor,
        start: Start | None = None,
    ) -> tuple[Tensor, None]:
        denoiser = METHODS[name](prior, observations, **options)
        return denoiser(x.flatten(1), sigma).mean.view_as(x), None

    return guide
