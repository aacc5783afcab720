"""Is what comes in a temperature at all? Asked before anything is sampled."""

import numpy as np

from slams.errors import SlamsError

# Wide enough for every planet and model, narrow enough for another unit or a mark of missing
# values: a model's tropopause may be at 140 K.
FIELD_RANGE_K = (100.0, 400.0)
SURFACE_RANGE_K = (150.0, 350.0)  # wider than any thermometer's record


def plausible(
    kelvin: np.ndarray,
    stream: str,
    remedy: str,
    limits: tuple[float, float],
    *,
    names: np.ndarray | None = None,
) -> None:
    """Temperatures in K that were seen, NaN where missing, lie within ``limits``.

    ``names`` are those of the last dimension's entries, where they have any. Raises SlamsError
    that names the stream, the first wrong value and the ``remedy``: an infinite value, one that
    is no temperature, one in another unit.
    """
    low, high = limits
    wrong = np.argwhere(~(np.isnan(kelvin) | ((kelvin >= low) & (kelvin <= high))))
    if len(wrong):
        first = tuple(wrong[0])
        where = "" if names is None else f" of {names[first[-1]]}"
        raise SlamsError(
            f"stream {stream}: {len(wrong)} values are no temperatures in K, the first "
            f"{kelvin[first]:g}{where} (possible are {low:g} to {high:g}): {remedy}"
        )


def whole(kelvin: np.ndarray, stream: str, remedy: str) -> None:
    """As :func:`plausible`, of fields of air temperature, which have no missing cell."""
    missing = int(np.isnan(kelvin).sum())
    if missing:
        raise SlamsError(f"stream {stream}: {missing} cells of the fields are missing: {remedy}")
    plausible(kelvin, stream, remedy, FIELD_RANGE_K)


def fits(values: np.ndarray, expected: tuple[int, ...], stream: str, remedy: str) -> None:
    """``values`` have the ``expected`` shape. Raises SlamsError that says both."""
    if values.shape != expected:
        raise SlamsError(
            f"stream {stream}: fields of shape {values.shape}, expected {expected}: {remedy}"
        )
