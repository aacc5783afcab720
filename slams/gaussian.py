"""The linear-Gaussian base of a prior: what its denoiser knows before it learns.

Weather is nearly Gaussian and its variance falls by orders of magnitude from the largest scales
to the smallest. The base models a window as Gaussian and statistically alike at every longitude:
each zonal wavenumber m by itself, in it the vertical and meridional structure by empirical
orthogonal functions (EOFs), and each EOF's complex amplitude with its covariance over the steps
of the window, whose phase carries what travels east or west. The largest EOFs of a wavenumber also
vary together over the steps, as what grows upwards or moves polewards does. The denoiser of that
model,

    L(sigma) = C (C + sigma^2)^-1,

is optimal interpolation of the noisy window. A network then learns what is not Gaussian, beside
it and scaled by what it leaves unknown, S(sigma) = (C sigma^2 (C + sigma^2)^-1)^1/2. With C = 1
these are the skip and the output scale of Karras et al. (2022, arXiv 2206.00364, Table 1).
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slams.covariances import VARIANCE_FLOOR, estimate, toeplitz
from slams.errors import SlamsError
from slams.store import Store

# A partial correlation of two steps is kept below this, so that an autoregression stays stable.
PARTIAL_LIMIT = 1 - 1e-6


class GaussianBase(nn.Module):
    """Covariance of windows (step, channel, latitude, longitude), and its square roots.

    ``modes`` EOFs a wavenumber are kept, or all where there are fewer; what is left over is white
    within its wavenumber. The ``joint`` largest vary together over the steps, every other by
    itself. Before :meth:`fit` the covariance is the identity.
    """

    basis: Tensor
    steps: Tensor
    together: Tensor
    variance: Tensor
    remainder: Tensor

    def __init__(
        self, window: int, channels: int, rows: int, columns: int, modes: int, joint: int = 0
    ) -> None:
        super().__init__()
        self.columns = columns
        self.profile = channels * rows
        waves, modes = columns // 2 + 1, min(modes, self.profile)
        self.joint = min(joint, modes) if window > 1 else 0
        basis = torch.eye(self.profile, modes, dtype=torch.complex64)
        self.register_buffer("basis", basis.repeat(waves, 1, 1))
        steps = torch.eye(window, dtype=torch.complex64)
        self.register_buffer("steps", steps.repeat(waves, modes - self.joint, 1, 1))
        together = torch.eye(self.joint * window, dtype=torch.complex64)
        # Files of priors that have none lack it.
        self.register_buffer("together", together.repeat(waves, 1, 1), persistent=self.joint > 0)
        self.register_buffer("variance", torch.ones(waves, modes, window))
        self.register_buffer("remainder", torch.ones(waves))
        self.radius_km: float | None = None
        self.ridge = 0.0
        self.share = 0.0
        self._remade: dict[int, tuple[Any, GaussianBase]] = {}

    def analyse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (batch, step, channel, latitude, longitude) to amplitudes and what is left.

        Amplitudes (wave, mode, batch, step) are those of uncorrelated modes; what is left over
        (wave, batch, step, profile) is zero where all modes are kept.
        """
        batch, window = x.shape[:2]
        waves = torch.fft.rfft(x.float(), norm="ortho").permute(4, 0, 1, 2, 3)
        flat = waves.reshape(len(waves), batch * window, self.profile)
        amplitude = torch.bmm(flat, self.basis.conj())
        left = flat - torch.bmm(amplitude, self.basis.mT) if self.truncated else flat[:, :0]
        amplitude = amplitude.unflatten(1, (batch, window)).permute(0, 3, 1, 2)
        return self._turned(amplitude, self.steps.conj(), self.together.conj()), left

    def synthesise(self, amplitude: Tensor, left: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The inverse of :meth:`analyse`."""
        amplitude = self._turned(amplitude, self.steps.mT, self.together.mT)
        flat = amplitude.permute(0, 2, 3, 1).flatten(1, 2)
        waves = torch.bmm(flat, self.basis.mT)
        if self.truncated:
            waves = waves + left
        waves = waves.view(-1, *shape[:-1]).permute(1, 2, 3, 4, 0)
        return torch.fft.irfft(waves, n=self.columns, norm="ortho")

    def _turned(self, amplitude: Tensor, steps: Tensor, together: Tensor) -> Tensor:
        """Amplitudes (wave, mode, batch, step) from the right: the largest together, last."""
        if not self.joint:
            return amplitude @ steps
        alone = amplitude.shape[1] - self.joint
        largest = amplitude[:, alone:].transpose(1, 2).flatten(2) @ together
        largest = largest.unflatten(2, (self.joint, -1)).transpose(1, 2)
        return torch.cat([amplitude[:, :alone] @ steps, largest], 1)

    @property
    def truncated(self) -> bool:
        """Whether fewer modes are kept than there are."""
        return self.basis.shape[2] < self.profile

    def scaled(self, x: Tensor, sigma: Tensor, *, root: bool) -> Tensor:
        """L(sigma) x, or with ``root`` S(sigma) x; ``sigma`` (batch,)."""
        amplitude, left = self.analyse(x)
        noise = sigma.float().view(-1, 1) ** 2
        kept, rest = self.variance[:, :, None], self.remainder.view(-1, 1, 1)
        gain, gain_left = kept / (kept + noise), rest / (rest + noise)
        if root:
            gain, gain_left = (noise * gain).sqrt(), (noise * gain_left).sqrt()
        if self.truncated:
            left = left * gain_left.repeat_interleave(x.shape[1], 1)
        return self.synthesise(amplitude * gain, left, x.shape)

    @property
    def largest(self) -> float:
        """The largest standard deviation of a mode of unit norm, normalised units."""
        return float(max(self.variance.max(), self.remainder.max())) ** 0.5

    def longer(self, steps: int) -> "GaussianBase":
        """The base of trajectories of at least as many steps as a window has; made once.

        A mode's covariance goes on as that of the autoregression which the steps of a window
        determine: of all that agree with the window's, the one of maximum entropy (Burg 1975).
        So it is exact where a step depends on no more steps before it than a window has. Beyond a
        window every mode is by itself. It takes 8 bytes times waves, modes and the square of the
        steps: 244 MB for 29 steps of 240 columns and 300 modes. Raises SlamsError for fewer steps
        than a window's.
        """
        window = self.variance.shape[2]
        if steps < window:
            raise SlamsError(f"{steps} steps are fewer than the prior's window of {window}")
        return self if steps == window else self._alone(steps)

    def apart(self) -> "GaussianBase":
        """The base of the same windows with every mode by itself, as in a longer one."""
        return self._alone(self.variance.shape[2]) if self.joint else self

    def _alone(self, steps: int) -> "GaussianBase":
        waves, modes, window = self.variance.shape
        # Fitted or loaded again, or moved, the base is another.
        versions = self.variance._version, self.steps._version, self.together._version
        state = (self.variance.device, *versions)
        if steps in self._remade and self._remade[steps][0] == state:
            return self._remade[steps][1]
        made = copy.copy(self)  # with the same EOFs, which are large
        made._buffers, made._remade, made.joint = dict(self._buffers), {}, 0
        made.together = self.together[:, :0, :0]
        made.steps = self.steps.new_empty(waves, modes, steps, steps)
        made.variance = self.variance.new_empty(waves, modes, steps)
        for wave in range(waves):  # one at a time: of many steps they are large
            covariance = self._over_steps(wave)
            if steps > window:
                lags = [torch.diagonal(covariance, -n, 1, 2).mean(1) for n in range(window)]
                covariance = toeplitz(_autoregressive(lags, steps))
            values, vectors = torch.linalg.eigh(covariance)
            made.steps[wave] = vectors.to(made.steps)
            made.variance[wave] = values.clamp_min(VARIANCE_FLOOR).to(made.variance)
        self._remade[steps] = (state, made)
        return made

    def _over_steps(self, wave: int) -> Tensor:
        """The covariance of every mode of a wavenumber with itself (mode, step, step)."""
        alone, window = self.steps.shape[1], self.variance.shape[2]
        turned, variance = self.steps[wave].to(torch.complex128), self.variance[wave].double()
        own = (turned * variance[:alone, None]) @ turned.mH
        turned = self.together[wave].to(torch.complex128).unflatten(0, (self.joint, window))
        largest = (turned * variance[alone:].flatten()) @ turned.mH
        return torch.cat([own, largest])

    def fit(self, store: Store, starts: np.ndarray, validation: Store, checked: np.ndarray) -> None:
        """Estimate the covariance from a store's windows, which begin at ``starts``.

        The ``validation`` period's windows, which begin at ``checked``, say how much of the sample
        is taken (:func:`slams.covariances.estimate`). Raises SlamsError where the fields are not
        finite or do not vary.
        """
        modes, window = self.variance.shape[1:]
        found = estimate(
            (store, starts), (validation, checked), window, modes=modes, joint=self.joint
        )
        self.radius_km, self.ridge, self.share = found.radius_km, found.ridge, found.share
        self.basis.copy_(found.eofs.vectors)
        self.remainder.copy_(found.eofs.remainder)
        over, alone = found.over_steps, modes - self.joint
        for wave in range(len(self.basis)):  # one at a time: they are large
            values, turned = torch.linalg.eigh(over.own[wave, :alone])
            self.steps[wave] = turned.to(self.steps)
            self.variance[wave, :alone] = values.clamp_min(VARIANCE_FLOOR).to(self.variance)
        if not self.joint:
            return
        for wave, covariance in enumerate(over.mixed(self.share)):
            values, turned = torch.linalg.eigh(covariance)
            self.together[wave] = turned.to(self.together)
            values = values.clamp_min(VARIANCE_FLOOR).unflatten(0, (self.joint, -1))
            self.variance[wave, alone:] = values.to(self.variance)


def _autoregressive(lags: list[Tensor], steps: int) -> Tensor:
    """Covariances (..., steps) at lags of 0, 1, ... steps, the first as ``lags``, then as implied.

    The recursion of Levinson and Durbin, which gives the coefficients of the autoregression order
    by order, with the partial correlations limited.
    """
    covariance = [lags[0]]
    coefficients: list[Tensor] = []
    left = lags[0].real  # what the steps before do not tell
    for lag in lags[1:]:
        expected = _told(coefficients, covariance)
        partial = (lag - expected) / left
        partial = partial / (partial.abs() / PARTIAL_LIMIT).clamp_min(1.0)
        covariance.append(expected + partial * left)
        turned = [c.conj() for c in reversed(coefficients)]
        coefficients = [c - partial * t for c, t in zip(coefficients, turned, strict=True)]
        coefficients.append(partial)
        left = left * (1 - partial.abs() ** 2)
    while len(covariance) < steps:
        covariance.append(_told(coefficients, covariance))
    return torch.stack(covariance, -1)


def _told(coefficients: list[Tensor], covariance: list[Tensor]) -> Tensor:
    """The next covariance of an autoregression on the steps 1, 2, ... before."""
    total = torch.zeros_like(covariance[0])
    for number, coefficient in enumerate(coefficients):
        total = total + coefficient * covariance[-1 - number]
    return total
