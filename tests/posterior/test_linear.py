"""The linear solvers by themselves, on matrices that are no covariance's."""

import numpy as np
import pytest
import scipy.sparse.linalg as reference
import torch

from slams.posterior.linear import (
    System,
    minimal_residual,
    stabilised_biconjugate_gradients,
)

SIZE, BATCH = 30, 3


@pytest.fixture
def matrices() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """R (SIZE,), K (SIZE, SIZE) with a skew part, and right sides (BATCH, SIZE), in float64."""
    generator = torch.Generator().manual_seed(0)
    root, skew = torch.randn(2, SIZE, SIZE, generator=generator, dtype=torch.float64)
    variance = 0.1 + torch.rand(SIZE, generator=generator, dtype=torch.float64)
    right = torch.randn(BATCH, SIZE, generator=generator, dtype=torch.float64)
    return variance, root @ root.T / SIZE + 0.1 * (skew - skew.T), right


def system(variance: torch.Tensor, k: torch.Tensor, right: torch.Tensor) -> System:
    """The system of R + K, with states that are K w."""

    def product(w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        moved = w @ k.T
        return moved, variance * w + moved

    diagonal = variance + 0.3 * torch.arange(1.0, SIZE + 1, dtype=torch.float64) / SIZE
    return System(product, right, error_variance=variance.expand_as(right), diagonal=diagonal)


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_bicgstab_is_scipys(matrices, iterations):
    """Step by step, with the same preconditioner."""
    given = system(*matrices)
    variance, k, right = matrices
    correction, solution = stabilised_biconjugate_gradients(given, iterations, None)
    matrix = np.diag(variance) + k.numpy()
    scale = reference.LinearOperator((SIZE, SIZE), lambda v: v / given.diagonal.numpy())
    for number in range(BATCH):
        expected, _ = reference.bicgstab(
            matrix, right[number].numpy(), rtol=0, maxiter=iterations, M=scale
        )
        np.testing.assert_allclose(solution[number], expected, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(correction, solution @ k.T)


@pytest.mark.parametrize("solver", [minimal_residual, stabilised_biconjugate_gradients])
def test_a_matrix_without_symmetry_is_solved(matrices, solver):
    variance, k, right = matrices
    expected = torch.linalg.solve(torch.diag(variance) + k, right.T).T
    correction, solution = solver(system(*matrices), SIZE, None)
    torch.testing.assert_close(solution, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(correction, expected @ k.T, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("solver", [minimal_residual, stabilised_biconjugate_gradients])
def test_a_solved_system_stays_solved(matrices, solver):
    """More iterations than are needed, and a right side of zero, leave finite numbers."""
    variance, k, right = matrices
    right = right * torch.tensor([1.0, 0.0, 1e-3], dtype=torch.float64)[:, None]
    expected = torch.linalg.solve(torch.diag(variance) + k, right.T).T
    _, solution = solver(system(variance, k, right), 2 * SIZE, None)
    torch.testing.assert_close(solution, expected, rtol=1e-5, atol=1e-6)
