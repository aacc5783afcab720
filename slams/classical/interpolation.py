"""Interpolation of all streams, from the first guess that the background gives.

Interpolation starts from a first guess, the climatology, to which is added, where there is a
background, its departure from the climatology: interpolated linearly in space and time, and
scaled level by level and step by step, since noise and block means change its amplitude. Then
what the other streams say against the guess is added:

- stations: innovations spread with Gaussian weights (Barnes 1964), damped where stations are
  few, and carried up by regression,
- imagery: the innovations of each cell, carried to the levels by regression on the channels that
  the cell has.

Scale, regressions and the reach of a station are fitted to the first guess's own errors over
validation windows, so a good first guess is hardly touched and a poor one is corrected fully.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slams.errors import SlamsError
from slams.observation.base import Observation, Observations
from slams.observation.stations import StationOperator

EARTH_RADIUS_KM = 6371.0
# The weights fall off in this share of the distance over which the errors themselves do: what
# lies between is for the many stations around, not for one far away.
REACH = 0.5
REACH_KM = (100.0, 1000.0)  # the least and the greatest


@dataclass(frozen=True)
class FirstGuess:
    """What validation windows say of the first guess (:func:`fit_first_guess`).

    ``amplitude`` (step, level) scales the background's departure from the climatology;
    ``errors`` (n, step, level, latitude, longitude) are truth minus guess, normalised units.
    """

    amplitude: np.ndarray
    errors: np.ndarray


def interpolate_background(observation: Observation, rows: int, columns: int) -> np.ndarray:
    """A degraded background (step, level, latitude, longitude), linear between what was seen.

    In space bilinear, periodic in longitude and continued over the poles by the half-turn; in
    time linear between the steps seen, constant before the first and after the last. Raises
    SlamsError where no step was seen.
    """
    values = observation.full.cpu().numpy().astype(np.float64)
    positions = getattr(observation.operator, "positions", None)
    if positions is None:
        raise SlamsError(
            "a background is interpolated from whole rows and columns; take identity, block mean "
            "or every n-th cell"
        )
    row, column = positions(rows, columns)
    steps = np.flatnonzero(np.isfinite(values).all((1, 2, 3)))
    if not len(steps):
        raise SlamsError("the background was seen at no step of the window: lower axes.*.every")
    fine = _bilinear(values[steps], row, column, rows, columns)
    return np.tensordot(_linear_weights(np.arange(len(values)), steps), fine, axes=1)


def _linear_weights(at: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Weights (at, seen) of linear interpolation from ``seen``, increasing; constant beyond."""
    return np.stack([np.interp(at, seen, unit) for unit in np.eye(len(seen))], axis=1)


def _bilinear(
    values: np.ndarray, row: np.ndarray, column: np.ndarray, rows: int, columns: int
) -> np.ndarray:
    """Values (..., rows seen, columns seen) on every cell of the grid."""
    ring = np.concatenate([column[-1:] - columns, column, column[:1] + columns])
    across = _linear_weights(np.arange(columns), ring)
    values = np.concatenate([values[..., -1:], values, values[..., :1]], axis=-1) @ across.T
    # Row -1/2 is the pole, over which the row at r comes back at -1 - r, half a turn away.
    beyond = np.roll(values[..., [0, -1], :], columns // 2, axis=-1)
    values = np.concatenate([beyond[..., :1, :], values, beyond[..., 1:, :]], axis=-2)
    row = np.concatenate([-1 - row[:1], row, 2 * rows - 1 - row[-1:]])
    return _linear_weights(np.arange(rows), row) @ values


def fit_first_guess(
    windows: Tensor, climates: np.ndarray, backgrounds: list[Observation] | None
) -> FirstGuess:
    """Fit the first guess over validation ``windows`` (n, step, level, latitude, longitude).

    ``climates``, of the same shape, are the climatology at the windows' times, both in normalised
    units. ``backgrounds`` are the windows degraded as the case is, or None where there is no
    background and the first guess is the climatology.
    """
    departure = windows.numpy().astype(np.float64) - climates
    if backgrounds is None:
        return FirstGuess(np.zeros(departure.shape[1:3]), departure)
    shape = departure.shape[-2:]
    guess = np.stack([interpolate_background(b, *shape) for b in backgrounds]) - climates
    power = (guess**2).mean((0, 3, 4))
    amplitude = (departure * guess).mean((0, 3, 4)) / np.maximum(power, 1e-12)
    return FirstGuess(amplitude, departure - amplitude[..., None, None] * guess)


def first_guess(observations: Observations, first: FirstGuess, climate: np.ndarray) -> np.ndarray:
    """The case's first guess (step, level, latitude, longitude), from its background alone.

    ``climate``, of the same shape, is the climatology of the case; all in normalised units. It is
    the climatology where there is no background.
    """
    guess = climate.astype(np.float64)
    for stream in observations:
        if stream.name == "background":
            background = interpolate_background(stream, *climate.shape[-2:])
            guess = guess + first.amplitude[..., None, None] * (background - climate)
    return guess


def interpolate(
    observations: Observations,
    first: FirstGuess,
    *,
    windows: Tensor,
    climate: np.ndarray,
    latitude: np.ndarray,
    longitude: np.ndarray,
) -> np.ndarray:
    """Interpolation of all streams (step, level, latitude, longitude), normalised units.

    ``first`` was fitted on ``windows`` (n, step, level, latitude, longitude); ``climate`` is the
    climatology (step, level, latitude, longitude) of the case, in normalised units; cells lie at
    ``latitude``, ``longitude`` in degrees.
    """
    streams = {stream.name: stream for stream in observations}
    analysis = first_guess(observations, first, climate)
    if "imagery" in streams:
        analysis = analysis + _imagery_increment(
            streams["imagery"], analysis, windows, first.errors
        )
    if "stations" in streams:
        analysis = analysis + _station_increment(
            streams["stations"], analysis, first.errors, latitude, longitude
        )
    return analysis.astype(np.float32)


def _regression(errors: np.ndarray, seen: np.ndarray, noise: np.ndarray | float) -> np.ndarray:
    """Coefficients (step, level, channel) of errors on what channels of a cell see of them.

    ``errors`` (n, step, level, latitude, longitude), ``seen`` (n, step, channel, latitude,
    longitude) and the variance of its ``noise`` (channel,).
    """
    count = errors[:, 0, 0].size
    together = np.einsum("ntlyx,ntcyx->tlc", errors, seen, optimize=True) / count
    power = np.einsum("ntcyx,ntdyx->tcd", seen, seen, optimize=True) / count
    channels = np.arange(seen.shape[2])
    power[:, channels, channels] = np.maximum(power[:, channels, channels] + noise, 1e-12)
    return np.swapaxes(np.linalg.solve(power, np.swapaxes(together, 1, 2)), 1, 2)


def _imagery_increment(
    stream: Observation, guess: np.ndarray, windows: Tensor, errors: np.ndarray
) -> np.ndarray:
    increment = np.zeros_like(guess)
    if not len(stream):
        return increment
    guesses = windows - torch.from_numpy(errors).float()
    with torch.no_grad():
        # One window at a time: a network over all of them needs much memory.
        pairs = zip(windows.split(1), guesses.split(1), strict=True)
        seen = torch.cat([stream.operator(w) - stream.operator(g) for w, g in pairs]).numpy()
        state = torch.from_numpy(guess).float()[None]
        variance = stream.on_map((stream.variance(state) - stream.extra)[0], torch.nan)
        noise = variance.transpose(0, 1).flatten(1).nanmean(1).nan_to_num().numpy()
        innovation = stream.full.numpy() - stream.operator(state)[0].numpy()
    # What quality control has added to an error takes its share of the gain from the pixel.
    added = stream.on_map(stream.extra, 0.0).numpy()
    expected = ((seen**2).mean((0, 1, 3, 4)) + noise)[:, None, None]
    innovation *= expected / np.maximum(expected + added, 1e-12)
    there = np.moveaxis(np.isfinite(innovation), 1, -1)
    for pattern in np.unique(there.reshape(-1, there.shape[-1]), axis=0):
        channels = np.flatnonzero(pattern)
        if len(channels):
            gain = _regression(errors, seen[:, :, channels], noise[channels])
            step = gain @ np.nan_to_num(innovation[:, channels]).reshape(
                len(guess), len(channels), -1
            )
            here = (there == pattern).all(-1)[:, None]
            increment += np.where(here, step.reshape(guess.shape), 0.0)
    return increment


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
    increment = np.zeros_like(guess)
    if not len(stream):
        return increment
    surface = np.einsum("ntlyx,l->ntyx", errors[:, :, operator.levels], operator.slope.numpy())
    gain = _regression(errors, surface[:, :, None], 0.0)[..., 0]
    with torch.no_grad():
        state = torch.from_numpy(guess).float()[None]
        innovation = stream.full.numpy() - operator(state)[0].numpy()
        own = stream.variance(state) - stream.extra
        noise = float(own.mean())
    # What quality control has added to an error takes its share of the station's weight.
    trust = stream.on_map((own / (own + stream.extra))[0], 0.0).numpy()
    damping = noise / np.maximum((surface**2).mean((0, 2, 3)), 1e-12)
    weights = _barnes_weights(operator, latitude, longitude, _reach_km(surface, latitude))
    for step in range(len(guess)):
        seen = np.isfinite(innovation[step])
        near = weights[:, seen] * trust[step, seen]
        spread = near @ innovation[step, seen] / (near.sum(1) + damping[step])
        increment[step] = gain[step, :, None, None] * spread.reshape(len(latitude), -1)
    return increment


def _reach_km(surface: np.ndarray, latitude: np.ndarray) -> float:
    """Length of a station's Gaussian weights, from the errors it sees (..., latitude, longitude).

    The errors' own length is that of a Gaussian with their correlation from one row to the next.
    """
    north, south = surface[..., :-1, :], surface[..., 1:, :]
    power = np.sqrt((north**2).mean() * (south**2).mean())
    correlation = (north * south).mean() / max(power, 1e-12)
    apart = EARTH_RADIUS_KM * np.deg2rad(abs(latitude[1] - latitude[0]))
    length = apart / np.sqrt(-2 * np.log(np.clip(correlation, 0.01, 0.9999)))
    return float(np.clip(REACH * length, *REACH_KM))


def _barnes_weights(
    operator: StationOperator, latitude: np.ndarray, longitude: np.ndarray, reach_km: float
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
    return np.exp(-0.5 * (apart / reach_km) ** 2)
