"""Classical analyses from the same observations: climatology and interpolation.

Interpolation starts from a first guess, the background interpolated linearly in space and time
or, without one, the climatology, and adds what the other streams say against it:

- stations: innovations spread with Gaussian weights (Barnes 1964), damped where stations are
  few, and carried up by regression,
- imagery: the innovation of each cell, carried to the levels by regression.

The regressions are those of the first guess's own errors over validation windows, so a good
first guess is hardly touched and a poor one is corrected fully.
"""

import numpy as np
import torch
from scipy.interpolate import RegularGridInterpolator
from torch import Tensor

from slams.errors import SlamsError
from slams.observation.base import Observation, Observations
from slams.observation.stations import StationOperator

EARTH_RADIUS_KM = 6371.0
BARNES_LENGTH_KM = 700.0


def interpolate_background(observation: Observation, rows: int, columns: int) -> np.ndarray:
    """A degraded background (step, level, latitude, longitude), linear between what was seen.

    In space bilinear, periodic in longitude and continued over the poles by the half-turn; in
    time linear between the steps seen, constant before the first and after the last. Raises
    SlamsError where no step was seen.
    """
    values = observation.full.cpu().numpy().astype(np.float64)
    row, column = observation.operator.positions(rows, columns)  # type: ignore[attr-defined]
    steps = np.flatnonzero(np.isfinite(values).all((1, 2, 3)))
    if not len(steps):
        raise SlamsError("the background was seen at no step of the window: lower axes.*.every")
    fine = np.stack([_bilinear(values[step], row, column, rows, columns) for step in steps])
    if len(steps) == 1:
        return np.repeat(fine, len(values), axis=0)
    when = np.clip(np.arange(len(values)), steps[0], steps[-1])
    right = np.clip(np.searchsorted(steps, when), 1, len(steps) - 1)
    share = (when - steps[right - 1]) / (steps[right] - steps[right - 1])
    share = share.reshape(-1, 1, 1, 1)
    return fine[right - 1] * (1 - share) + fine[right] * share


def _bilinear(
    values: np.ndarray, row: np.ndarray, column: np.ndarray, rows: int, columns: int
) -> np.ndarray:
    """Values (level, rows seen, columns seen) on every cell of the grid."""
    # Over a pole the same row comes back at the opposite longitude.
    half = np.interp(
        (column + columns / 2) % columns,
        np.concatenate([column - columns, column, column + columns]),
        np.tile(np.arange(len(column)), 3),
    )
    if np.allclose(half, np.round(half)):
        turned = values[..., np.round(half).astype(int)]
    else:
        turned = 0.5 * (
            values[..., np.floor(half).astype(int)] + values[..., np.ceil(half).astype(int)]
        )
    # Row -1/2 is the pole: the row at r comes back at -1 - r.
    values = np.concatenate([turned[:, :1], values, turned[:, -1:]], axis=1)
    row = np.concatenate([[-1 - row[0]], row, [2 * rows - 1 - row[-1]]])
    values = np.concatenate([values[..., -1:], values, values[..., :1]], axis=2)
    column = np.concatenate([[column[-1] - columns], column, [column[0] + columns]])
    if row[1] == row[0]:
        row, values = row[1:], values[:, 1:]
    if row[-1] == row[-2]:
        row, values = row[:-1], values[:, :-1]
    interpolator = RegularGridInterpolator((row, column), np.moveaxis(values, 0, -1))
    mesh = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    return np.moveaxis(interpolator(np.stack(mesh, axis=-1)), -1, 0)


def interpolate(
    observations: Observations,
    windows: Tensor,
    latitude: np.ndarray,
    longitude: np.ndarray,
    errors: np.ndarray,
) -> np.ndarray:
    """Interpolation of all streams (step, level, latitude, longitude), normalised units.

    ``windows`` (n, step, level, latitude, longitude) are normalised windows of the validation
    period, ``errors`` of the same shape those of the first guess in them
    (:func:`first_guess_errors`); cells at ``latitude``, ``longitude`` in degrees.
    """
    shape = windows.shape[1:]
    streams = {stream.name: stream for stream in observations}
    if "background" in streams:
        analysis = interpolate_background(streams["background"], *shape[-2:])
    else:
        analysis = np.zeros(shape)
    if "imagery" in streams:
        analysis = analysis + _imagery_increment(streams["imagery"], analysis, windows, errors)
    if "stations" in streams:
        analysis = analysis + _station_increment(
            streams["stations"], analysis, errors, latitude, longitude
        )
    return analysis.astype(np.float32)


def first_guess_errors(windows: Tensor, backgrounds: list[Observation] | None) -> np.ndarray:
    """Errors (n, step, level, latitude, longitude) of the first guess in ``windows``.

    ``backgrounds`` are the windows degraded as the case is, or None where there is no
    background and the first guess is the climatology.
    """
    truth = windows.numpy().astype(np.float64)
    if backgrounds is None:
        return truth
    guesses = [interpolate_background(b, *truth.shape[-2:]) for b in backgrounds]
    return truth - np.stack(guesses)


def _regression(errors: np.ndarray, surface: np.ndarray, noise: float) -> np.ndarray:
    """Regression coefficients (level,) of errors on what an observation sees of them."""
    return (errors * surface[:, :, None]).mean((0, 1, 3, 4)) / ((surface**2).mean() + noise)


def _imagery_increment(
    stream: Observation, guess: np.ndarray, windows: Tensor, errors: np.ndarray
) -> np.ndarray:
    with torch.no_grad():
        seen = stream.operator(windows) - stream.operator(
            windows - torch.from_numpy(errors).float()
        )
        state = torch.from_numpy(guess).float()[None]
        noise = float(stream.variance(state).mean()) if len(stream) else 1.0
        predicted = stream.operator(state)[0].numpy()
    gain = _regression(errors, seen.numpy(), noise)
    innovation = np.nan_to_num(stream.full.numpy() - predicted)
    return gain[None, :, None, None] * innovation[:, None]


def _station_increment(
    stream: Observation,
    guess: np.ndarray,
    errors: np.ndarray,
    latitude: np.ndarray,
    longitude: np.ndarray,
) -> np.ndarray:
    operator = stream.operator
    if not isinstance(operator, StationOperator):
        raise SlamsError("the stream named stations was not made by observation.stations")
    surface = np.einsum("ntlyx,l->ntyx", errors[:, :, operator.levels], operator.slope.numpy())
    gain = _regression(errors, surface, 0.0)
    with torch.no_grad():
        predicted = operator(torch.from_numpy(guess).float()[None])[0].numpy()
    innovation = stream.full.numpy() - predicted
    noise = (
        float(stream.variance(torch.from_numpy(guess).float()[None]).mean()) if len(stream) else 0
    )
    damping = noise / max(float((surface**2).mean()), 1e-12)
    weights = _barnes_weights(operator, latitude, longitude)
    increment = np.zeros_like(guess)
    for step in range(len(guess)):
        seen = np.isfinite(innovation[step])
        near = weights[:, seen]
        spread = near @ innovation[step, seen] / (near.sum(1) + damping)
        increment[step] = gain[:, None, None] * spread.reshape(len(latitude), len(longitude))
    return increment


def _barnes_weights(
    operator: StationOperator, latitude: np.ndarray, longitude: np.ndarray
) -> np.ndarray:
    """Weights (cell, station) by great-circle distance.

    A station stands where its interpolation weights put it, which is its own position up to the
    curvature within one cell.
    """
    lat, lon = (
        a.ravel() for a in np.meshgrid(np.deg2rad(latitude), np.deg2rad(longitude), indexing="ij")
    )
    cells = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    indices, weights = operator.indices.numpy(), operator.weights.numpy()
    stations = (cells[indices] * weights[..., None]).sum(1)
    stations /= np.linalg.norm(stations, axis=1, keepdims=True)
    apart = EARTH_RADIUS_KM * np.arccos(np.clip(cells @ stations.T, -1, 1))
    return np.exp(-0.5 * (apart / BARNES_LENGTH_KM) ** 2)
