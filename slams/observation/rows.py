"""Data of a fit that are too many for memory: spooled to disk, gone through in pieces."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ROWS_A_PIECE = 200_000  # that are in memory together
BINS = 1 << 12  # of a median's histogram
FEW = 10_000  # values among which a median is looked for in memory


class Rows:
    """Rows of ``columns`` numbers of float64 in a temporary file, in the order they were added."""

    def __init__(self, columns: int) -> None:
        self.columns, self._count = columns, 0
        # It has no name, so that a job that is killed leaves nothing behind.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115

    def __len__(self) -> int:
        return self._count

    def add(self, block: Array) -> None:
        """Append (n, columns)."""
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(block, np.float64).tobytes())
        self._count += len(block)

    def pieces(self) -> Iterator[Array]:
        """All rows (k, columns), ROWS_A_PIECE at a time."""
        size = 8 * self.columns * ROWS_A_PIECE
        for start in range(0, 8 * self.columns * self._count, size):
            self._file.seek(start)
            yield np.frombuffer(self._file.read(size)).reshape(-1, self.columns)


class Spool:
    """Float32 arrays of one ``shape`` in a temporary file, to be mapped as one array."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self._count = shape, 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115

    def add(self, block: np.ndarray) -> None:
        """Append (n, *shape)."""
        if block.shape[1:] != self.shape:
            raise ValueError(f"{block.shape[1:]} is no {self.shape}")
        self._file.write(np.ascontiguousarray(block, np.float32).tobytes())
        self._count += len(block)

    def mapped(self) -> NDArray[np.float32]:
        """All of them, (count, *shape): read when looked at, and only to be read."""
        self._file.flush()
        return np.memmap(self._file, np.float32, "r", shape=(self._count, *self.shape))


class LeastSquares:
    """Least squares of rows that come in pieces, by the triangle of their QR decomposition.

    As exact as a decomposition of all rows at once: no normal equations are formed.
    """

    def __init__(self, predictors: int) -> None:
        self._triangle: Array = np.zeros((0, predictors + 1))
        self._count = 0

    def add(self, design: Array, observed: Array) -> None:
        """Rows (n, predictors) and what they should give (n,)."""
        rows = np.column_stack([design, observed])
        self._triangle = cast(Array, np.linalg.qr(np.concatenate([self._triangle, rows]), mode="r"))
        self._count += len(rows)

    def solve(self) -> Array:
        """The coefficients (predictors,), the smallest where several fit alike."""
        # What numpy takes for all rows: those of a triangle are fewer.
        cutoff = np.finfo(float).eps * max(self._count, self._triangle.shape[1] - 1)
        design, observed = self._triangle[:, :-1], self._triangle[:, -1]
        return cast(Array, np.linalg.lstsq(design, observed, rcond=cutoff)[0])


def median(pieces: Callable[[], Iterable[Array]]) -> float:
    """The median of finite values that come in pieces, which are gone through several times.

    Exact: the histogram about it is narrowed until few values are left. NaN where there are none.
    """
    count, low, high = 0, np.inf, -np.inf
    for values in pieces():
        if len(values):
            count += len(values)
            low, high = min(low, values.min()), max(high, values.max())
    if not count:
        return float("nan")
    lower = _ranked(pieces, (count - 1) // 2, low, high, count)
    if count % 2 or sum(int((v <= lower).sum()) for v in pieces()) > count // 2:
        return lower
    upper = min(v[v > lower].min() for v in pieces() if (v > lower).any())
    return float(0.5 * (lower + upper))


def _ranked(
    pieces: Callable[[], Iterable[Array]], rank: int, low: float, high: float, inside: int
) -> float:
    """The value that ``rank`` others come before; all ``inside`` values lie from low to high."""
    high = float(np.nextafter(high, np.inf))
    while inside > FEW:
        edges = np.linspace(low, high, BINS + 1)
        if not (edges[1:] > edges[:-1]).all():
            break  # no more than BINS numbers there are in between
        counts = np.zeros(BINS, np.int64)
        for values in _within(pieces(), low, high):
            counts += np.bincount(np.searchsorted(edges, values, "right") - 1, minlength=BINS)
        before = np.cumsum(counts) - counts
        bin_of = int(np.searchsorted(before, rank, side="right")) - 1
        rank, inside = rank - int(before[bin_of]), int(counts[bin_of])
        low, high = edges[bin_of], edges[bin_of + 1]
    found = [np.unique(v, return_counts=True) for v in _within(pieces(), low, high)]
    kept = np.concatenate([values for values, _ in found])
    order = np.argsort(kept, kind="stable")
    up_to = np.cumsum(np.concatenate([counts for _, counts in found])[order])
    return float(kept[order][np.searchsorted(up_to, rank, side="right")])


def _within(pieces: Iterable[Array], low: float, high: float) -> Iterator[Array]:
    """The values from ``low`` to below ``high``."""
    for values in pieces:
        yield values[(values >= low) & (values < high)]
