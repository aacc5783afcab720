"""Guidance: the denoiser's estimate of the clean state, corrected by the observations.

- ``mmps``: moment-matching posterior sampling (Rozet et al. 2024, arXiv 2405.13712). The clean
  state given x is N(D(x), V) with V = sigma^2 dD/dx (Tweedie's second moment), so that

      E[clean | x, y] = D + V H' (R + H V H')^-1 (y - H(D)),

  solved with a few iterations, each one vector-Jacobian product of the denoiser. The solver
  starts from the solution at the level before, and is preconditioned by a guess of the diagonal:
  unevenly placed observations, and errors that differ a hundredfold in variance, then need three
  iterations where they needed eight and more (docs/benchmarks.md).
- ``gaussian``: the same with V = sigma^2 L(sigma), L the linear denoiser of the prior's Gaussian
  base (:mod:`slams.gaussian`) in place of the network's derivative. No derivative of the network
  is taken, so that an iteration costs a few Fourier transforms and V is a covariance always.
- ``sda``: the paper's Gaussian score (Rozet and Louppe 2023), which replaces H V H' by
  gamma sigma^2.
- ``dps``: diffusion posterior sampling (Chung et al. 2023, arXiv 2209.14687), a step of fixed
  size against the misfit, whatever its error.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor

from slams.errors import SlamsError
from slams.observation.base import Observations
from slams.posterior.linear import SOLVERS, Solver, System, conjugate_gradients
from slams.prior import LinearStateSpace, StateSpace

GAMMA = 1e-2  # the paper's, for method "sda"
ZETA = 1.0  # for method "dps": its authors take 0.3 to 1
# A correction of the clean estimate stays within this many prior standard deviations (root mean
# square over the state): the Jacobian of a learned denoiser is only nearly a covariance, and
# precise observations otherwise blow up.
CORRECTION_LIMIT = 3.0
# What the preconditioner takes for the variance of a cell that its neighbours leave open: fields
# are smooth. A tenth converged fastest or nearly so in every exact world; 0.03 to 1 all help.
OPEN_VARIANCE = 0.1
PROBES = 8  # random signs from which the rows' sizes of the observation operator are estimated


@dataclass(frozen=True)
class Start:
    """What a level hands to the next: the solution (batch, n) and the rows' squares (n,) of H."""

    solution: Tensor
    squares: Tensor


# guide(prior, observations, x, sigma, start) -> the guided estimate of the clean state, and the
# start of the next level; the start of the first is None
Guidance = Callable[
    [StateSpace, Observations, Tensor, Tensor, Start | None], tuple[Tensor, Start | None]
]


def _bounded(clean: Tensor, correction: Tensor, sigma: Tensor) -> Tensor:
    """``clean + correction``, the correction limited member by member."""
    size = correction.flatten(1).pow(2).mean(1).sqrt()
    limit = CORRECTION_LIMIT * sigma / (1 + sigma**2).sqrt()
    factor = (limit / size.clamp_min(1e-12)).clamp_max(1.0)
    return clean + correction * factor.view(-1, *[1] * (clean.ndim - 1))


class _Linearised:
    """H(decode(state)) at a state (batch, *state_shape), and its derivative both ways."""

    def __init__(self, prior: StateSpace, observations: Observations, state: Tensor) -> None:
        with torch.enable_grad():
            self.base = state.detach().requires_grad_()
            fields = prior.decode(self.base)
            self._predicted = observations.tangent(fields)
            # H' v as a function of a v that is nothing but a place to differentiate: the
            # derivative of H' v in v, applied to w, is H w. So one graph gives both products.
            self._blank = torch.zeros_like(self._predicted, requires_grad=True)
            (self._pulled,) = torch.autograd.grad(
                self._predicted, self.base, self._blank, create_graph=True
            )
        self.predicted = self._predicted.detach()
        self.fields = fields.detach()

    def pull(self, v: Tensor) -> Tensor:
        """H' v (batch, *state_shape)."""
        return torch.autograd.grad(self._predicted, self.base, v, retain_graph=True)[0]

    def push(self, w: Tensor) -> Tensor:
        """H w (batch, n)."""
        return torch.autograd.grad(self._pulled, self._blank, w, retain_graph=True)[0]


def _squares(prior: StateSpace, observations: Observations) -> Tensor:
    """Estimated sums of squares (n,) of the rows of H, linearised at the climatology."""
    shape = (PROBES, *prior.state_shape)
    # Of a seed of its own and no member's: members must not depend on one another.
    signs = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    signs = signs.to(observations.value)
    return _Linearised(prior, observations, torch.zeros_like(signs)).push(signs).pow(2).mean(0)


def _matched(
    prior: StateSpace,
    observations: Observations,
    clean: Tensor,
    sigma: Tensor,
    start: Start | None,
    *,
    covariance: Callable[[Tensor], Tensor],
    iterations: int,
    solver: Solver,
) -> tuple[Tensor, Start]:
    """The estimate ``clean`` moved by the observations, its second moment V as ``covariance``."""
    seen = _Linearised(prior, observations, clean)
    squares = _squares(prior, observations) if start is None else start.squares
    variance = observations.variance(seen.fields).expand_as(seen.predicted)

    def product(w: Tensor) -> tuple[Tensor, Tensor]:
        moved = covariance(seen.pull(w))
        return moved, variance * w + seen.push(moved)

    open_variance = OPEN_VARIANCE * sigma**2 / (OPEN_VARIANCE + sigma**2)
    correction, solution = solver(
        System(
            product,
            observations.value - seen.predicted,
            error_variance=variance,
            diagonal=variance + open_variance * squares,
        ),
        iterations,
        None if start is None else start.solution,
    )
    return _bounded(clean.detach(), correction, sigma), Start(solution, squares)


def mmps(
    prior: StateSpace,
    observations: Observations,
    x: Tensor,
    sigma: Tensor,
    start: Start | None = None,
    *,
    iterations: int = 3,
    solver: Solver = conjugate_gradients,
) -> tuple[Tensor, Start]:
    """The clean state's estimate from ``x`` (batch, *state_shape), guided by moment matching.

    ``start`` is the second result of the level before, which costs one more product and saves
    several.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        clean = prior.denoise(x, sigma, observations.times)

    def covariance(v: Tensor) -> Tensor:
        return sigma**2 * torch.autograd.grad(clean, x, v, retain_graph=True)[0]

    return _matched(
        prior,
        observations,
        clean,
        sigma,
        start,
        covariance=covariance,
        iterations=iterations,
        solver=solver,
    )


def gaussian(
    prior: LinearStateSpace,
    observations: Observations,
    x: Tensor,
    sigma: Tensor,
    start: Start | None = None,
    *,
    iterations: int = 3,
    solver: Solver = conjugate_gradients,
) -> tuple[Tensor, Start]:
    """As :func:`mmps`, with the second moment of the prior's linear-Gaussian base."""
    with torch.no_grad():
        clean = prior.denoise(x, sigma, observations.times)
    return _matched(
        prior,
        observations,
        clean,
        sigma,
        start,
        covariance=lambda v: sigma**2 * prior.known(v, sigma),
        iterations=iterations,
        solver=solver,
    )


def sda(
    prior: StateSpace,
    observations: Observations,
    x: Tensor,
    sigma: Tensor,
    start: Start | None = None,
    *,
    gamma: float = GAMMA,
) -> tuple[Tensor, None]:
    """The clean state's estimate guided by the paper's score; it has no use for a ``start``.

    log p(y | x) is that of N(y; H(D(x)), R + gamma sigma^2), whose gradient in x, times
    sigma^2, is added to D(x).
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        clean = prior.denoise(x, sigma, observations.times)
        fields = prior.decode(clean)
        predicted = observations.predict(fields)
        variance = observations.variance(fields.detach()) + gamma * sigma**2
        likelihood = -0.5 * ((observations.value - predicted) ** 2 / variance).sum()
    (gradient,) = torch.autograd.grad(likelihood, x)
    return _bounded(clean.detach(), sigma**2 * gradient, sigma), None


def dps(
    prior: StateSpace,
    observations: Observations,
    x: Tensor,
    sigma: Tensor,
    start: Start | None = None,
    *,
    ratio: float,
    zeta: float = ZETA,
) -> tuple[Tensor, None]:
    """The clean state's estimate guided by the gradient of the misfit's norm.

    Chung et al. (2023), Algorithm 1, shift the next state by -zeta d|y - H(D(x))|/dx in units in
    which its variance with the noise is one. An ancestral step to the next level takes
    1 - ``ratio`` of the clean estimate, ``ratio`` being that of the squared noise levels, so that
    the estimate is moved by as much more. The misfit is weighted by R, relative to its mean: for
    one error that is their norm.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        clean = prior.denoise(x, sigma, observations.times)
        fields = prior.decode(clean)
        variance = observations.variance(fields.detach())
        weight = variance.mean(1, keepdim=True) / variance
        misfit = weight.sqrt() * (observations.value - observations.predict(fields))
        norm = misfit.norm(dim=1).sum()
    (gradient,) = torch.autograd.grad(norm, x)
    units = ((1 + sigma**2) * (1 + ratio * sigma**2)).sqrt()
    return _bounded(clean.detach(), -zeta * units / (1 - ratio) * gradient, sigma), None


def guidance(
    method: str,
    solver_iterations: int = 3,
    *,
    solver: str = "cg",
    levels: Tensor | None = None,
) -> Guidance:
    """The guidance of the configuration keys ``sampler.method`` and ``sampler.solver``.

    ``method`` is mmps, gaussian, sda or dps; ``solver``, of the first two, cg, gmres or bicgstab.
    The step of dps depends on the ladder, so that it needs the ``levels``. Raises SlamsError
    where a name is unknown.
    """
    if solver_iterations < 1:
        raise SlamsError(f"sampler.solver_iterations: {solver_iterations} must be at least 1")
    if solver not in SOLVERS:
        raise SlamsError(f"sampler.solver: {solver!r} is none of {', '.join(SOLVERS)}")
    if method == "mmps":
        return partial(mmps, iterations=solver_iterations, solver=SOLVERS[solver])
    if method == "gaussian":
        return cast(
            Guidance, partial(gaussian, iterations=solver_iterations, solver=SOLVERS[solver])
        )
    if method == "sda":
        return sda
    if method == "dps":
        if levels is None:
            raise ValueError("dps needs the noise levels")
        return partial(dps, ratio=math.exp(2 * float(levels[1].log() - levels[0].log())))
    raise SlamsError(f"sampler.method: {method!r} is not mmps, gaussian, sda or dps")
