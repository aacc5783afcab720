"""Classical analyses from the same observations, beside which every analysis stands.

Climatology and :mod:`interpolation`; optimal interpolation (:mod:`oi`) with covariances of the
training period; a local ensemble transform Kalman filter (:mod:`letkf`) over analogues from it;
persistence, where the background is an earlier field. :mod:`cells` makes all of them for a cell.
"""

from slams.classical.interpolation import (
    FirstGuess,
    first_guess,
    fit_first_guess,
    interpolate,
    interpolate_background,
)

__all__ = [
    "FirstGuess",
    "first_guess",
    "fit_first_guess",
    "interpolate",
    "interpolate_background",
]
