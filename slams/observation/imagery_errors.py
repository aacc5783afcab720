"""How the imagery operator's errors are alike, and what that takes from their weight.

The likelihood takes errors as independent. Where neighbours in space, in time, or among the
channels of a pixel err alike, that counts the same news several times; the error's variance is
inflated so that it does not.
"""

import numpy as np

REDUNDANT = 100.0  # the factor of a channel that adds nothing to the others of its pixel
WEAKEST = 1e-3  # of the strongest channel's strength; no channel says less
NEARLY_ONE = 0.999  # the largest correlation of two channels
TIMES_TOGETHER = 32  # of which residuals are in memory together


def correlation_inflation(residuals: np.ndarray, times: np.ndarray) -> float:
    """By how much to multiply a channel's variance because neighbouring errors are alike.

    ``residuals`` (time, latitude, longitude) are errors over their predicted standard deviation,
    NaN where nothing was seen. The factor is the sum of the correlations over the adjacent cells
    and times, taken as separable: the product of 1 + 2 r over latitude, longitude and time, with r
    the correlation of neighbours (at least zero). It is times the residuals' mean square, should
    they be larger than predicted.
    """
    following = np.diff(times) == np.diff(times).min() if len(times) > 1 else np.zeros(0, bool)
    # Of pairs in latitude, longitude and time, and last of every value with itself.
    total, count = np.zeros(4), np.zeros(4)
    for first in range(0, len(residuals), TIMES_TOGETHER):
        here = residuals[first : first + TIMES_TOGETHER].astype(np.float64)
        # The next time belongs to the last pair.
        later = residuals[first + 1 : first + 1 + len(here)].astype(np.float64)
        near = following[first : first + len(later)]
        pairs = (
            (here[:, 1:], here[:, :-1]),
            (here, np.roll(here, 1, axis=-1)),
            (later[near], here[: len(later)][near]),
            (here, here),
        )
        for number, (one, other) in enumerate(pairs):
            product = one * other
            seen = np.isfinite(product)
            total[number] += product[seen].sum()
            count[number] += seen.sum()
    *alike, size = total / np.maximum(count, 1)
    factor = max(float(size), 1.0)
    for product in alike:
        factor *= 1 + 2 * max(float(product / size), 0.0)
    return factor


def channel_correlation(residuals: np.ndarray) -> np.ndarray:
    """Correlation (channel, channel) of the errors that channels make of one pixel.

    ``residuals`` (time, channel, latitude, longitude) as above. Zero between channels that no
    pixel has both of.
    """
    count = residuals.shape[1]
    # Sums over the pixels that have both of two channels: of products, and of the first's squares.
    products, squares = np.zeros((2, count, count))
    for first in range(0, len(residuals), TIMES_TOGETHER):
        part = residuals[first : first + TIMES_TOGETHER].astype(np.float64)
        flat = np.moveaxis(part, 1, 0).reshape(count, -1)
        seen = np.isfinite(flat)
        known = np.where(seen, flat, 0.0)
        products += known @ known.T
        squares += known**2 @ seen.T
    power = np.sqrt(squares * squares.T)
    correlation = np.divide(products, power, out=np.zeros_like(power), where=power > 0)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def channel_factors(correlation: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """By how much to multiply the variance of channels (channel,) that one pixel has together.

    ``correlation`` (channel, channel) is that of their errors, C (of absolute values: a sign would
    only help). ``strength`` (channel,) is a, how many standard deviations of its error a channel
    is moved by what it observes. The factors are d = a / u with C u = a: the best linear estimate
    from the channels gives them the weights u.

    With D = diag(d) instead of C

    - nothing is counted twice: D - C is positive semidefinite, since (D - C) u = 0 with u > 0
      and no element beside the diagonal is positive;
    - no news is lost: the information on what all channels show is a' D^-1 a = a' C^-1 a, as
      with the correlated errors themselves, and so no less than that of any channel alone.

    A channel whose weight would not be positive adds nothing to the others: it gets REDUNDANT,
    and the others theirs without it. Two channels that are the same get 2, one alone gets 1.
    """
    alike = NEARLY_ONE * np.abs(correlation)
    np.fill_diagonal(alike, 1.0)
    own = np.maximum(np.abs(strength), WEAKEST * np.abs(strength).max())
    own = np.where(own > 0, own, 1.0)
    factors = np.full(len(own), REDUNDANT)
    kept = np.arange(len(own))
    while len(kept):
        weight = np.linalg.solve(alike[np.ix_(kept, kept)], own[kept])
        worth = weight / own[kept]
        if worth.min() > 1 / REDUNDANT:
            factors[kept] = own[kept] / weight
            break
        kept = np.delete(kept, worth.argmin())
    return factors


def pixel_factors(correlation: np.ndarray, strength: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """:func:`channel_factors` of the channels that each pixel has.

    ``seen`` (step, channel, latitude, longitude) is True where there is a value; the result has its
    shape, with 1 where there is none.
    """
    factors = np.ones(seen.shape)
    last = np.moveaxis(seen, 1, -1)
    for pattern in np.unique(last.reshape(-1, seen.shape[1]), axis=0):
        there = np.flatnonzero(pattern)
        if len(there) > 1:
            found = channel_factors(correlation[np.ix_(there, there)], strength[there])
            here = (last == pattern).all(-1)
            for channel, factor in zip(there, found, strict=True):
                factors[:, channel][here] = factor
    return factors
