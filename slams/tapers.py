"""How far a covariance reaches: places on the sphere, distances, and a taper that ends.

Covariances of a sample are noise where the distance is large and the true ones are small; they
are multiplied by a correlation that falls to zero at a radius (Houtekamer and Mitchell 2001, Mon.
Wea. Rev. 129, 123). It depends on the horizontal distance alone: levels and steps of a window
keep the covariances that the sample has.
"""

import numpy as np
import torch
from torch import Tensor

EARTH_RADIUS_KM = 6371.0


def gaspari_cohn(distance: Tensor) -> Tensor:
    """The correlation of Gaspari and Cohn (1999, Q. J. R. Meteorol. Soc. 125, 723), eq. 4.10.

    ``distance``, not negative, is in units of its half-width c; from 2 on it is zero.
    """
    r = distance
    near = 1 + r**2 * (-5 / 3 + r * (5 / 8 + r * (1 / 2 - r / 4)))
    outer = r.clamp(1.0, 2.0)
    far = 4 - 5 * outer + outer**2 * (5 / 3 + outer * (5 / 8 + outer * (-1 / 2 + outer / 12)))
    far = far - 2 / (3 * outer)
    # Rounding leaves some 1e-16 on either side of zero at the end.
    return torch.where(r < 1, near, far.clamp_min(0.0) * (r < 2))


def unit_vectors(latitude: np.ndarray, longitude: np.ndarray) -> Tensor:
    """Places (n, 3) on the unit sphere of positions (n,) in degrees."""
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    parts = (np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi))
    return torch.from_numpy(np.stack(parts, axis=-1)).double()


def distances(one: Tensor, other: Tensor) -> Tensor:
    """Great-circle distances (n, m) in km between places (n, 3) and (m, 3)."""
    return EARTH_RADIUS_KM * torch.arccos((one @ other.T).clamp(-1.0, 1.0))


def taper(one: Tensor, other: Tensor, radius_km: float) -> Tensor:
    """Correlations (n, m) between places that fall to zero at ``radius_km``."""
    return gaspari_cohn(distances(one, other) / (radius_km / 2))


def cell_places(latitude: np.ndarray, longitude: np.ndarray) -> Tensor:
    """Places (cell, 3) of the cells of a grid, row by row."""
    lat, lon = np.meshgrid(latitude, longitude, indexing="ij")
    return unit_vectors(lat.ravel(), lon.ravel())
