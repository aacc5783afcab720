"""Covariances of a store's windows, alike at every longitude, and tapered with the distance.

Fields that are statistically alike at every longitude have zonal wavenumbers that vary by
themselves. Of each the covariance is a matrix between the numbers of a profile and a meridian
(``profile`` of them, channel by channel, north first), and over all wavenumbers these are the
Fourier transform of what two profiles have in common, by how far they are apart in longitude.
There they are tapered (:mod:`slams.tapers`), as optimal interpolation tapers its own: the fields
of an archive are few beside those numbers, and what two far places seem to have in common is
chance. Of a tapered matrix the empirical orthogonal functions (EOFs) are taken, and their
covariances over the steps of a window.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slams.errors import SlamsError
from slams.store import Store
from slams.tapers import distances, gaspari_cohn, unit_vectors

# Covariances end at one of these distances (km; None: nowhere), and that of a wavenumber is drawn
# by one of these shares towards its diagonal. The validation period says which, the shares tried
# from the least until one is worse.
RADII = (None, 5000.0, 7000.0, 10000.0, 14000.0, 20000.0)
RIDGES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6)
# Of the covariance of the largest EOFs over the steps, how much is the sample's: the rest has each
# EOF by itself. The validation period says this, too.
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
SIGMAS = torch.logspace(-1.5, 1.5, 13, dtype=torch.float64)  # at which all these are compared
COMPARED_WAVES = 8  # so many wavenumbers, evenly spread, compare them
VARIANCE_FLOOR = 1e-8  # of any mode, normalised units squared
MOST_WINDOWS, RUN = 20_000, 256  # of more windows, runs of so many that are spread evenly
FIELDS_AT_ONCE, WINDOWS_AT_ONCE = 64, 16
BYTES_AT_ONCE = 2**29  # of the rows of the matrices that are summed or tapered together
DOUBLE = torch.complex128


class Taper:
    """By how much covariances between the places of a grid are kept.

    Its rows are evenly spaced from pole to pole, its columns round the globe.
    """

    def __init__(self, rows: int, columns: int) -> None:
        latitude = 90 - 180 / rows * (np.arange(rows) + 0.5)
        longitude = 360 / columns * np.arange(columns)
        places = unit_vectors(np.tile(latitude, columns), np.repeat(longitude, rows))
        first = unit_vectors(latitude, np.zeros(rows))
        self._away = distances(places, first).view(columns, rows, rows)

    def __call__(self, covariance: Tensor, chosen: Tensor, radius_km: float | None) -> Tensor:
        """Rows numbered ``chosen`` of covariances (wave, chosen, profile), complex double, tapered.

        They end at ``radius_km``; None leaves them as they are.
        """
        covariance = covariance.to(DOUBLE)
        if radius_km is None:
            return covariance
        columns, rows = self._away.shape[:2]
        kept = gaspari_cohn(self._away[:, chosen % rows] / (radius_km / 2))
        apart = torch.fft.irfft(covariance, n=columns, dim=0)
        apart.view(*apart.shape[:2], -1, rows).mul_(kept[:, :, None])
        return torch.fft.rfft(apart, dim=0)


@dataclass(frozen=True)
class Eofs:
    """``vectors`` (wave, profile, mode), ascending, and their ``variance`` (wave, mode).

    ``largest`` (wave, joint, joint) are the covariances of the largest where nothing is drawn to a
    diagonal, scaled to have that variance; ``scale`` (wave, mode) is what a variance there is
    multiplied by. ``remainder`` (wave,) is the mean variance of what they leave.
    """

    vectors: Tensor
    variance: Tensor
    scale: Tensor
    largest: Tensor
    remainder: Tensor

    @property
    def alone(self) -> int:
        """How many are not among the largest."""
        return self.variance.shape[1] - self.largest.shape[1]

    @classmethod
    def of(cls, covariance: Tensor, ridge: float, modes: int, joint: int) -> "Eofs":
        """So many ``modes`` of covariances (wave, profile, profile), drawn to their diagonal."""
        found = []
        cut = covariance.shape[1] - modes
        for one in covariance.unbind():
            values, vectors = torch.linalg.eigh(shrunk(one.to(DOUBLE), ridge))
            values, kept = values.clamp_min(VARIANCE_FLOOR), vectors[:, cut:]
            drawn = kept.abs().square().T @ torch.diagonal(one).real.double()
            own = (values[cut:] - ridge * drawn) / (1 - ridge)
            scale = values[cut:] / own.clamp_min(VARIANCE_FLOOR)
            largest, root = kept[:, modes - joint :], scale[modes - joint :].sqrt()
            sample = root[:, None] * (largest.mH @ one.to(DOUBLE) @ largest) * root
            left = values[:cut].mean() if cut else values.new_zeros(())
            found.append((kept.to(torch.complex64), values[cut:], scale, sample, left))
        return cls(*map(torch.stack, zip(*found, strict=True)))


@dataclass(frozen=True)
class OverSteps:
    """Covariances over the steps of a window, of the ``alone`` first modes and of the others.

    ``own`` (wave, mode, step, step) is that of every mode with itself, ``together`` (wave, joint *
    step, joint * step) that of the largest with one another.
    """

    own: Tensor
    together: Tensor
    alone: int

    def mixed(self, share: float) -> Tensor:
        """Of the largest modes: a ``share`` of the sample's, and the rest each by itself."""
        separate = _block_diagonal(self.own[:, self.alone :])
        return (1 - share) * separate + share * self.together


@dataclass(frozen=True)
class Estimate:
    """The EOFs of windows and their covariances over the steps, and what was chosen for them."""

    eofs: Eofs
    over_steps: OverSteps
    radius_km: float | None
    ridge: float
    share: float


def estimate(
    training: tuple[Store, np.ndarray],
    validation: tuple[Store, np.ndarray],
    window: int,
    *,
    modes: int,
    joint: int,
) -> Estimate:
    """Of the windows of stores that begin at given numbers.

    The taper, the shrinkage and the share of the sample in the covariance of the ``joint`` largest
    of ``modes`` EOFs are those which denoise the validation period best: the shrinkage its fields,
    the others its windows, for what moves is far from where it was. Takes 8 bytes times waves and
    the square of channels times rows: 1.4 GB for 10 levels at 1.5 degrees. Raises SlamsError where
    the fields are not finite or do not vary.
    """
    store, starts = training[0], some_runs(training[1])
    validation = validation[0], some_runs(validation[1])
    taper = Taper(*store.shape[1:])
    whole = _whole(store, _fields(starts, window, 0))
    waves = np.linspace(0, len(whole) - 1, COMPARED_WAVES).round().astype(int)
    waves = np.unique(waves)
    held = _whole(validation[0], _fields(validation[1], window, 0))[waves].to(DOUBLE)
    candidates, pieces = [], _rows(*whole.shape[:2])
    for radius in RADII:
        tapered = torch.cat(
            [taper(whole[:, n], n, radius)[waves] for n in _rows(*whole.shape[:2])], 1
        )
        ridge = _best_ridge(tapered, held)
        candidates.append((radius, ridge, Eofs.of(tapered, ridge, modes, joint)))
    over = _over_steps(store, starts, window, taper, candidates, waves)
    losses = {}
    for (radius, ridge, eofs), model in zip(candidates, over, strict=True):
        seen, rest = _held(validation, window, eofs, waves)
        for share in SHARES if joint else SHARES[:1]:
            losses[radius, ridge, share] = _window_loss(model, eofs, share, seen, rest)
    radius, ridge, share = min(losses, key=lambda chosen: losses[chosen])
    for n in pieces:
        whole[:, n] = taper(whole[:, n], n, radius).to(whole)
    eofs = Eofs.of(whole, ridge, modes, joint)
    del whole
    every = np.arange(len(eofs.vectors))
    (model,) = _over_steps(store, starts, window, taper, [(radius, ridge, eofs)], every)
    return Estimate(eofs, model, radius, ridge, share)


def parts(indices: np.ndarray, size: int) -> list[np.ndarray]:
    """The indices in pieces of about so many at most."""
    return np.array_split(indices, max(1, -(-len(indices) // size)))


def some_runs(starts: np.ndarray) -> np.ndarray:
    """All windows, or of very many some, in runs so long that few pairs of fields are lost."""
    if len(starts) <= MOST_WINDOWS:
        return starts
    runs = parts(starts, RUN)
    return np.concatenate(runs[:: -(-len(starts) // MOST_WINDOWS)])


def in_waves(fields: np.ndarray) -> Tensor:
    """Fields (n, channel, latitude, longitude) as (wave, n, profile)."""
    found = torch.fft.rfft(torch.from_numpy(fields), norm="ortho")
    return found.permute(3, 0, 1, 2).flatten(2)


def moments(store: Store, earlier: np.ndarray, lag: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Sums of x y* over the fields y numbered ``earlier`` and those x that are ``lag`` steps later.

    Yields numbers of rows and these rows (wave, row, profile), complex double: all together they
    can be too large to be held. Raises SlamsError where the fields are not finite or do not vary.
    """
    channels, rows, columns = store.shape
    profile, waves = channels * rows, columns // 2 + 1
    for chosen in _rows(waves, profile):
        total = torch.zeros(waves, len(chosen), profile, dtype=DOUBLE)
        for some in parts(earlier, FIELDS_AT_ONCE):
            x, y = (in_waves(np.array(store.fields[n])) for n in (some + lag, some))
            total += x[..., chosen].mT @ y.conj()  # the sum alone needs double precision
        power = total.abs().sum()
        if not (torch.isfinite(power) and power > 0):
            raise SlamsError(
                f"store {store.path}: its fields are not finite or do not vary; look at the "
                "periods and at the raw files, and build the store again"
            )
        yield chosen, total


def shrunk(covariance: Tensor, ridge: float) -> Tensor:
    """Covariances (..., n, n) drawn by a share towards their diagonal."""
    diagonal = torch.diag_embed(torch.diagonal(covariance, dim1=-2, dim2=-1))
    return (1 - ridge) * covariance + ridge * diagonal


def denoising_loss(model: Tensor, held: Tensor) -> float:
    """What is of covariance ``held`` loses where it is denoised by that of ``model``.

    Karras-weighted and averaged over SIGMAS and what varies; both (..., n, n).
    """
    values, vectors = torch.linalg.eigh(model)
    values = values.clamp_min(VARIANCE_FLOOR)
    power = (vectors.conj() * (held @ vectors)).sum(-2).real
    noise = SIGMAS.view(-1, *[1] * values.ndim) ** 2
    lost, passed = noise / (values + noise), values / (values + noise)
    return float(((1 + noise) / noise * (power * lost**2 + noise * passed**2)).mean())


def toeplitz(lags: Tensor) -> Tensor:
    """Hermitian matrices (..., n, n) of the covariances (..., n) with 0, 1, ... steps before."""
    n = lags.shape[-1]
    place = torch.arange(n, device=lags.device)
    apart = place[:, None] - place
    lower = lags[..., apart.abs()]
    return torch.where(apart >= 0, lower, lower.conj())


def _fields(starts: np.ndarray, window: int, lag: int) -> np.ndarray:
    """Numbers of the fields that have another of a common window ``lag`` steps after them."""
    return np.unique(starts[:, None] + np.arange(window - lag))


def _whole(store: Store, fields: np.ndarray) -> Tensor:
    """Second moments (wave, profile, profile) of some fields of a store."""
    rows = [(sums / len(fields)).to(torch.complex64) for _, sums in moments(store, fields, 0)]
    return torch.cat(rows, 1)


def _rows(waves: int, profile: int) -> list[Tensor]:
    """Numbers of the rows of matrices (wave, profile, profile) that are held at once."""
    size = max(1, BYTES_AT_ONCE // (16 * waves * profile))
    return [torch.from_numpy(part) for part in parts(np.arange(profile), size)]


def _best_ridge(covariance: Tensor, held: Tensor) -> float:
    """With which covariances (wave, profile, profile) denoise ``held`` best."""
    best, least = RIDGES[0], np.inf
    for ridge in RIDGES:
        loss = denoising_loss(shrunk(covariance, ridge), held)
        if loss >= least:
            break
        best, least = ridge, loss
    return best


def _over_steps(
    store: Store,
    starts: np.ndarray,
    window: int,
    taper: Taper,
    candidates: list[tuple[float | None, float, Eofs]],
    waves: np.ndarray,
) -> list[OverSteps]:
    """For every radius, ridge and its EOFs at some ``waves``, their covariances over the steps.

    Sums over the pairs of a lag are divided by the number of fields, whatever the lag: so they are
    the covariances of a process that there can be.
    """
    own = [[eofs.variance.to(DOUBLE)] for _, _, eofs in candidates]
    together = [[eofs.largest] for _, _, eofs in candidates]
    count = len(_fields(starts, window, 0))
    for lag in range(1, window):
        for of_lag, of_largest in zip(own, together, strict=True):
            of_lag.append(torch.zeros_like(of_lag[0]))
            of_largest.append(torch.zeros_like(of_largest[0]))
        for chosen, sums in moments(store, _fields(starts, window, lag), lag):
            for number, (radius, ridge, eofs) in enumerate(candidates):
                left = eofs.vectors[:, chosen].conj()
                right = taper(sums / count, chosen, radius)[waves].to(left) @ eofs.vectors
                own[number][lag] += (1 - ridge) * eofs.scale * (left * right).sum(1)
                root = eofs.scale[:, eofs.alone :].sqrt()
                joined = left[..., eofs.alone :].mT @ right[..., eofs.alone :]
                together[number][lag] += root[:, :, None] * joined * root[:, None]
    return [
        OverSteps(toeplitz(torch.stack(of_lag, -1)), _block_toeplitz(of_largest), eofs.alone)
        for of_lag, of_largest, (_, _, eofs) in zip(own, together, candidates, strict=True)
    ]


def _held(
    validation: tuple[Store, np.ndarray], window: int, eofs: Eofs, waves: np.ndarray
) -> tuple[OverSteps, Tensor]:
    """Second moments of windows in the EOFs of some ``waves``, and the power (wave,) they leave."""
    store, starts = validation
    vectors = eofs.vectors.to(DOUBLE)
    own, together, power = torch.zeros(3, dtype=DOUBLE)
    for part in parts(starts, WINDOWS_AT_ONCE):
        fields = store.batch(part, window)
        flat = in_waves(fields.reshape(-1, *fields.shape[2:]))[waves].to(DOUBLE)
        power = power + flat.abs().square().sum((1, 2)) / window
        amplitude = (flat @ vectors.conj()).unflatten(1, (len(part), window)).transpose(2, 3)
        each = amplitude.transpose(1, 2)  # (wave, mode, window, step)
        own = own + each.mT @ each.conj()
        joined = amplitude[:, :, eofs.alone :].flatten(2)
        together = together + joined.mT @ joined.conj()
    kept = torch.diagonal(own, dim1=2, dim2=3).mean(2).sum(1)
    rest = (power - kept).real / len(starts)
    return OverSteps(own / len(starts), together / len(starts), eofs.alone), rest


def _window_loss(
    model: OverSteps, eofs: Eofs, share: float, held: OverSteps, rest: Tensor
) -> float:
    """As :func:`denoising_loss`, of whole windows."""
    profile, modes = eofs.vectors.shape[1:]
    alone, left = model.alone, profile - modes
    total = 0.0
    if alone:
        total += alone * denoising_loss(model.own[:, :alone], held.own[:, :alone])
    if alone < modes:
        total += (modes - alone) * denoising_loss(model.mixed(share), held.together)
    if left:
        white = (eofs.remainder.to(DOUBLE), (rest / left).to(DOUBLE))
        total += left * denoising_loss(*(one[:, None, None] for one in white))
    return total / profile


def _block_toeplitz(lags: list[Tensor]) -> Tensor:
    """(wave, n * step, n * step) of covariances (wave, n, n) with 0, 1, ... steps before."""
    steps, (waves, n, _) = len(lags), lags[0].shape
    found = lags[0].new_empty(waves, n, steps, n, steps)
    for later in range(steps):
        for earlier in range(later + 1):
            found[:, :, later, :, earlier] = lags[later - earlier]
            found[:, :, earlier, :, later] = lags[later - earlier].mH
    return found.reshape(waves, n * steps, n * steps)


def _block_diagonal(covariance: Tensor) -> Tensor:
    """(wave, n * step, n * step) of covariances (wave, n, step, step) of what varies by itself."""
    waves, n, steps, _ = covariance.shape
    found = covariance.new_zeros(waves, n, steps, n, steps)
    for number in range(n):
        found[:, number, :, number] = covariance[:, number]
    return found.reshape(waves, n * steps, n * steps)
