"""The fit of persistence in a Gaussian world whose covariance and memory are known."""

import numpy as np
import pytest
import torch
from torch import Tensor
from worlds import GRID, LEVELS, SHAPE, IdealPrior, cartesian, days, statistics, store

from slams.cases import Case
from slams.errors import SlamsError
from slams.observation import Observations
from slams.observation.persistence import Persistence
from slams.observation.persistence_fit import fit
from slams.posterior import sample
from slams.statistics import Normalisation

MEMORY = 0.8
SIZE = int(np.prod(SHAPE))
AREA = np.tile(np.repeat(GRID.area_weights, GRID.shape[1]), len(LEVELS))


def covariance() -> np.ndarray:
    """Variance one; correlation exp(-d / 2000 km), and 0.7 from one level to the next."""
    points = cartesian().reshape(3, -1)
    apart = 6371.0 * np.arccos(np.clip(points.T @ points, -1, 1))
    between = np.abs(np.subtract.outer(np.arange(len(LEVELS)), np.arange(len(LEVELS))))
    return np.kron(0.7**between, np.exp(-apart / 2000))


COVARIANCE = covariance()
ROOT = np.linalg.cholesky(COVARIANCE + 1e-9 * np.eye(SIZE))


def fields(count: int, seed: int, memory: float = MEMORY) -> np.ndarray:
    """A stationary autoregression (count, *SHAPE) of that covariance."""
    drawn = np.random.default_rng(seed).standard_normal((count, SIZE)) @ ROOT.T
    for step in range(1, count):
        drawn[step] = memory * drawn[step - 1] + np.sqrt(1 - memory**2) * drawn[step]
    return drawn.reshape(count, *SHAPE).astype(np.float32)


def fitted(folder, count: int = 400, seed: int = 0, memory: float = MEMORY, **settings):
    training = store(folder, "train", days("2001-01-01", count), fields(count, seed, memory))
    settings = {"steps": 1, "step_hours": 24.0, "coarse": 1} | settings
    return fit(training, statistics(), **settings)


class GaussianPrior(IdealPrior):
    """The world's own prior: D(x) = C (C + sigma^2)^-1 x, exactly, for windows of one step."""

    def __init__(self) -> None:
        super().__init__(1)
        values, vectors = np.linalg.eigh(COVARIANCE)
        self.values = torch.from_numpy(values.clip(0)).float()
        self.vectors = torch.from_numpy(vectors).float()

    def denoise(self, x: Tensor, sigma: Tensor, times: np.ndarray) -> Tensor:
        share = self.values / (self.values + sigma**2)
        return ((x.flatten(1) @ self.vectors * share) @ self.vectors.T).view(x.shape)


def blocks(factor: int) -> np.ndarray:
    """Block means as a matrix (blocks, cells)."""
    identity = np.eye(SIZE).reshape(-1, len(LEVELS), *GRID.shape)
    rows, columns = (n // factor for n in GRID.shape)
    means = identity.reshape(-1, len(LEVELS), rows, factor, columns, factor).mean((3, 5))
    return means.reshape(SIZE, -1).T


def claimed_and_true(found, memory: float, inflated: bool = True) -> tuple[float, float]:
    """Standard deviations of the exact analysis by the fit's H and diagonal R, of block means."""
    factor = int(found.attrs["coarse"])
    means = blocks(factor)
    columns = GRID.shape[1] // factor
    slope = np.repeat(found["slope"].values.ravel(), columns)
    name = "error_variance" if inflated else "residual_variance"
    error = np.repeat(found[name].values.ravel(), columns)
    h = slope[:, None] * means
    gain = COVARIANCE @ h.T @ np.linalg.inv(h @ COVARIANCE @ h.T + np.diag(error))
    claimed = COVARIANCE - gain @ h @ COVARIANCE
    cross = gain @ (memory * means @ COVARIANCE)
    true = COVARIANCE - cross - cross.T + gain @ means @ COVARIANCE @ means.T @ gain.T
    area = means @ AREA
    return tuple(
        float(np.sqrt(area @ np.diag(means @ c @ means.T) / area.sum())) for c in (claimed, true)
    )


def test_slope_and_error_are_those_of_the_world(tmp_path):
    found = fitted(tmp_path, count=1200)
    np.testing.assert_allclose(found["slope"], MEMORY, atol=0.05)
    np.testing.assert_allclose(found["residual_variance"], 1 - MEMORY**2, rtol=0.1)
    assert found.attrs["hours"] == 24.0 and found.attrs["pairs"] == 1199
    np.testing.assert_allclose(
        found["error_variance"], found["residual_variance"] * found["inflation"]
    )
    older = fitted(tmp_path, count=1200, steps=3)
    np.testing.assert_allclose(older["slope"], MEMORY**3, atol=0.1)
    np.testing.assert_allclose(older["residual_variance"], 1 - MEMORY**6, rtol=0.1)
    assert older.attrs["hours"] == 72.0


@pytest.mark.parametrize("coarse", [1, 2, 4])
@pytest.mark.parametrize(("count", "memory"), [(80, 0.8), (400, 0.5), (400, 0.95)])
def test_exact_analyses_with_the_fitted_error_are_calibrated(tmp_path, coarse, count, memory):
    """Of other fields than those fitted."""
    found = fitted(tmp_path, count=count, memory=memory, coarse=coarse)
    claimed, true = claimed_and_true(found, memory)
    assert 0.9 < claimed / true < 1.15
    assert true < 0.97 * np.sqrt(np.diag(blocks(coarse) @ COVARIANCE @ blocks(coarse).T).mean())


@pytest.mark.parametrize("coarse", [1, 2])
def test_errors_taken_as_independent_would_make_them_overconfident(tmp_path, coarse):
    claimed, true = claimed_and_true(fitted(tmp_path, coarse=coarse), MEMORY, inflated=False)
    assert claimed / true < 0.8


def test_the_fit_foretells_the_ratio_and_inflates_polar_rows_most(tmp_path):
    found = fitted(tmp_path)
    assert found.attrs["spread_skill"] == pytest.approx(1.0, abs=0.01)
    inflation = found["inflation"].values
    assert (inflation >= 1).all()
    # Cells are closer there: more of them err alike.
    assert (inflation[:, [0, -1]] > 1.5 * inflation[:, [3]]).all()


def test_sampled_ensembles_are_calibrated(tmp_path):
    """Through the sampler, member by member, over fields not fitted: 0.8 to 1.2."""
    background = Persistence(fitted(tmp_path), Normalisation(statistics()))
    times = days("2003-04-01", 121)
    test = store(tmp_path, "test", times, fields(len(times), seed=1))
    prior, members = GaussianPrior(), 8
    square = spread = of_climate = 0.0
    weights = GRID.area_weights[:, None] / GRID.shape[1] / GRID.shape[0] / len(LEVELS)
    starts = np.arange(1, 121, 4)
    for start in starts:
        case = Case(test, start, 1)
        observations = Observations([background.observe(case, 0)])
        drawn = sample(prior, observations, members, steps=16, seed=int(start), sigma_max=40.0)
        scaled = prior.normalisation.normalise(drawn.values, case.times)[:, 0]
        square += float((((scaled.mean(0) - case.truth[0]) ** 2) * weights).sum())
        spread += float((scaled.var(0, ddof=1) * weights).sum())
        of_climate += float(((case.truth[0] ** 2) * weights).sum())
    assert 0.8 < np.sqrt((members + 1) / members * spread / square) < 1.2
    assert square < 0.7 * of_climate


def test_what_cannot_be_fitted_is_told(tmp_path):
    with pytest.raises(SlamsError, match=r"holds 19 pairs of fields 1 steps \(24 h\) apart, too"):
        fitted(tmp_path, count=20)
    with pytest.raises(SlamsError, match=r"nothing of a field lasts 1 steps"):
        fitted(tmp_path, count=400, memory=-0.9)
