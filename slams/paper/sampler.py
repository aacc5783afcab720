"""The paper's sampler: predictor, Langevin corrector, and guidance by a Gaussian score.

With r = mu(t - dt) / mu(t) a step is the deterministic predictor

    x <- r x + (sigma(t - dt) - r sigma(t)) e(x, t),

followed by corrections at t - dt, with d = tau / mean(e^2) member by member and z normal,

    x <- x + sigma(t - dt) (sqrt(2 d) z - d e(x, t - dt)),

which is Langevin dynamics of step tau over the mean square of the score. e is the noise that
the network sees in x, minus sigma times the gradient of log N(y; H(D(x)), R + gamma
(sigma / mu)^2): the Gaussian score of Rozet and Louppe (2023, arXiv 2306.10574). Formulas and
defaults are theirs and those of the paper (arXiv 2404.06665): 512 steps of one correction each,
so 1,024 network evaluations, each with its gradient.
"""

import numpy as np
import torch
from torch import Tensor

from slams.errors import SlamsError
from slams.observation.base import Observations
from slams.paper import schedule
from slams.prior import StateSpace

STEPS, CORRECTIONS, TAU, GAMMA = 512, 1, 0.5, 1e-2
# Root mean square of a state at which it has diverged. A network that sees no noise at all ends at
# 1 / eta: what is beyond that by far is no state, though every number of it may be finite.
LARGEST = 10 / schedule.ETA


def guided_noise(
    prior: StateSpace,
    observations: Observations | None,
    x: Tensor,
    level: Tensor,
    times: np.ndarray,
    gamma: float = GAMMA,
) -> Tensor:
    """The noise (batch, *state_shape) in ``x``, of standard deviation one, given observations.

    ``x`` (batch, *state_shape) is a clean state plus ``level`` times that noise; ``times``
    (step,) are those of the window.
    """
    if observations is None or len(observations) == 0:
        with torch.no_grad():
            return (x - prior.denoise(x, level, times)) / level
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        clean = prior.denoise(x, level, times)
        fields = prior.decode(clean)
        variance = observations.variance(fields.detach()) + gamma * level**2
        misfit = (observations.value - observations.predict(fields)) ** 2 / variance
        (gradient,) = torch.autograd.grad(-0.5 * misfit.sum(), x)
    return ((x - clean) / level - level * gradient).detach()


def sample_states(
    prior: StateSpace,
    observations: Observations | None,
    members: int,
    *,
    generator: torch.Generator,
    times: np.ndarray,
    steps: int = STEPS,
    corrections: int = CORRECTIONS,
    tau: float = TAU,
    gamma: float = GAMMA,
) -> Tensor:
    """States (members, *state_shape) by ``steps`` x (1 + ``corrections``) network evaluations.

    Raises SlamsError, naming the step and the size of the state, as soon as a member's is beyond
    LARGEST or not finite.
    """
    if steps < 1 or corrections < 0 or tau <= 0:
        raise SlamsError(
            f"paper.sampler: {steps} steps of {corrections} corrections with tau {tau} is no "
            "sampler; steps must be at least 1, corrections 0 or more, tau positive"
        )
    device = observations.value.device if observations is not None else torch.device("cpu")
    shape = (members, *prior.state_shape)

    def normal() -> Tensor:
        # Drawn on the CPU, so that a seed means the same on every device.
        return torch.randn(shape, generator=generator).to(device)

    clock = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    signal, spread = schedule.mu(clock).tolist(), schedule.sigma(clock).tolist()

    def noise_in(x: Tensor, place: int) -> Tensor:
        level = torch.tensor(spread[place] / signal[place], device=device)
        return guided_noise(prior, observations, x / signal[place], level, times, gamma)

    x, size = normal(), 1.0
    for step in range(steps):
        ahead = step + 1
        ratio = signal[ahead] / signal[step]
        x = ratio * x + (spread[ahead] - ratio * spread[step]) * noise_in(x, step)
        for _ in range(corrections):
            noise = noise_in(x, ahead)
            length = tau / noise.square().flatten(1).mean(1)
            length = length.view(-1, *[1] * len(prior.state_shape))
            x = x + spread[ahead] * ((2 * length).sqrt() * normal() - length * noise)
        before, size = size, float(x.square().flatten(1).mean(1).sqrt().max())
        if not size <= LARGEST:
            raise SlamsError(
                f"the paper's sampler diverged at step {ahead} of {steps} (noise level "
                f"{spread[ahead] / signal[ahead]:.3g}, root mean square of the largest member "
                f"{before:.3g} before it and {size:.3g} after): train the prior longer, take more "
                "paper.sampler.steps or a larger gamma, or check the observation errors"
            )
    return x
