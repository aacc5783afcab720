"""What chance does to scores: a block bootstrap over cases, and sign flips of paired differences.

Neighbouring cells of a case err together, and so may cases that follow one another. Whole cases
are resampled therefore, in blocks of neighbours, and never cells. The draws depend on the seed
and on the number of cases alone, so that methods and cells of as many cases meet the same weather.
"""

from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from slams.errors import SlamsError

CONFIDENCE: Final = 0.95
EXACT_BLOCKS: Final = 12  # up to so many blocks every pattern of signs is tried, 4096
RANDOM_PATTERNS: Final = 9999  # of signs, where there are more blocks

Array = NDArray[np.float64]


def block_length(cases: int, block: int | None = None) -> int:
    """Cases a block: `block`, or the cube root of `cases`, rounded down, where that is None.

    The cube root is the order that minimises the error of a block bootstrap's variance (Künsch
    1989). Raises SlamsError unless 1 <= block <= cases.
    """
    if block is None:
        return max(1, int(cases ** (1 / 3) + 1e-9))
    if not 1 <= block <= cases:
        raise SlamsError(
            f"verification.block is {block}: must be 1 to {cases}, the number of cases, or null"
        )
    return block


def shares(cases: int, block: int, resamples: int, seed: int) -> Array:
    """How much of each resample each case is, (resample, case); every row adds up to one.

    Circular blocks (Politis and Romano 1992): `block` cases from a random one on, the first
    following the last; as many blocks as fill `cases`, the last one cut. Raises SlamsError for
    less than one resample.
    """
    if resamples < 1:
        raise SlamsError(f"bootstrap must be 1 or more resamplings, not {resamples}")
    blocks = -(-cases // block)
    begins = np.random.default_rng(seed).integers(cases, size=(resamples, blocks, 1))
    drawn = ((begins + np.arange(block)) % cases).reshape(resamples, -1)[:, :cases]
    counts = np.zeros((resamples, cases))
    np.add.at(counts, (np.arange(resamples)[:, None], drawn), 1.0)
    return counts / cases


def varying(counts: Array, block: int) -> int:
    """How many cases may differ from resample to resample; ``counts`` (case,) is what each counts.

    Those that count anything; and where one block is all of them, every resample is the same.
    """
    return int((counts > 0).sum()) if block < len(counts) else 1


def interval(samples: Array, varied: int) -> tuple[Array, Array]:
    """Percentile interval along the first axis, of resamples in which so many cases vary.

    Missing for less than two: one case says nothing about its own variation.
    """
    if varied < 2:
        missing = np.full(samples.shape[1:], np.nan)
        return missing, missing
    tail = (1 - CONFIDENCE) / 2
    lower, upper = np.quantile(samples, [tail, 1 - tail], axis=0)
    return lower, upper


def block_means(values: Array, block: int) -> Array:
    """Means over blocks that do not overlap, (block, ...), of `values` (case, ...) in order.

    Cases that do not fill a last block are spread: blocks differ by one case at most.
    """
    parts = np.array_split(values, max(1, len(values) // block))
    return np.stack([part.mean(0) for part in parts])


def sign_flip_p(differences: Array, block: int, seed: int) -> Array:
    """Two-sided p-values, (...), that paired differences (case, ...) are zero in the mean.

    If neither of two methods is better, either may have been called the first: the signs of whole
    blocks of cases are flipped in every way, or in `RANDOM_PATTERNS` drawn from `seed`, and the
    p-value is the share of patterns whose mean is as far from zero as that found (Fisher's
    randomisation test). The least it can be is 2 to the power of 1 minus the number of blocks.
    Missing differences give a missing p-value.
    """
    count = max(1, len(differences) // block)
    sums = np.stack([part.sum(0) for part in np.array_split(differences, count)])
    if count <= EXACT_BLOCKS:
        # The pattern found and its opposite are among them; half of all is enough.
        signs = np.array([(1.0, *rest) for rest in product((1.0, -1.0), repeat=count - 1)])
    else:
        random = np.random.default_rng(seed).choice([1.0, -1.0], size=(RANDOM_PATTERNS, count))
        signs = np.concatenate([np.ones((1, count)), random])  # the one found counts, too
    sizes = np.abs(np.tensordot(signs, sums, axes=1))
    # Equal sums may differ in their last digits with the order of addition.
    tolerance = 1e-9 * np.abs(sums).sum(0)
    p: Array = (sizes >= sizes[0] - tolerance).mean(0)
    return np.where(np.isfinite(sums).all(0), p, np.nan)
