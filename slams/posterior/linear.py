"""The linear systems of moment matching, solved for every member by itself.

The matrix is A = R + K, R diagonal and positive, K = H V H' with V the denoiser's Jacobian times
sigma^2. For an exact denoiser K is symmetric and positive semidefinite. A learned one only comes
near it, so that all solvers watch the curvature d' A d along every direction d they try: where
it is not above d' R d, which R alone gives, the Jacobian has ceased to be a covariance, and that
member keeps what it has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

TINY = 1e-30  # keeps a quotient of two zeros finite in float32

# w (batch, n) -> (V H' w, a correction of the state; A w (batch, n))
Product = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class System:
    """A w = ``right`` (batch, n), with R (batch, n) and a preconditioner's ``diagonal``."""

    product: Product
    right: Tensor
    error_variance: Tensor
    diagonal: Tensor

    def sound(self, direction: Tensor, curvature: Tensor) -> Tensor:
        """Whether (batch, 1) the curvature along a direction is that of R and a covariance."""
        return curvature > dot(direction, self.error_variance * direction)


class Solver(Protocol):
    """A way to solve a system in a number of iterations, each one product (bicgstab: two)."""

    def __call__(
        self, system: System, iterations: int, start: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The correction V H' w (batch, *state_shape) and w (batch, n)."""
        ...


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products (batch, 1) of (batch, n)."""
    return (a * b).sum(1, keepdim=True)


def along(step: Tensor, moved: Tensor) -> Tensor:
    """``step`` (batch, 1) times ``moved`` (batch, ...)."""
    return step.view(-1, *[1] * (moved.ndim - 1)) * moved


def _begin(system: System, start: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Correction, solution and residual of the best multiple of ``start``, or of nothing.

    A start costs one product. It is scaled to fit best along itself, and not used where its
    curvature is too low.
    """
    if start is None:
        return torch.zeros(()), torch.zeros_like(system.right), system.right
    moved, image = system.product(start)
    curvature = dot(start, image)
    sound = system.sound(start, curvature)
    step = torch.where(sound, dot(start, system.right) / curvature, 0.0)
    return along(step, moved), step * start, system.right - step * image


def conjugate_gradients(
    system: System, iterations: int, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Preconditioned conjugate gradients (Hestenes and Stiefel 1952), for a symmetric A."""
    correction, solution, left = _begin(system, start)
    scaled = left / system.diagonal
    direction, norm = scaled, dot(left, scaled)
    active = torch.ones_like(norm, dtype=torch.bool)
    for _ in range(iterations):
        moved, image = system.product(direction)
        curvature = dot(direction, image)
        active = active & system.sound(direction, curvature) & (norm > 0)
        step = torch.where(active, norm / curvature, 0.0)
        solution = solution + step * direction
        correction = correction + along(step, moved)
        left = left - step * image
        scaled = left / system.diagonal
        new = dot(left, scaled)
        direction = scaled + torch.where(active, new / norm.clamp_min(TINY), 0.0) * direction
        norm = new
    return correction, solution


def minimal_residual(
    system: System, iterations: int, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    """GMRES (Saad and Schultz 1986), which asks for no symmetry of A.

    The system is scaled by the preconditioner's root from both sides, so that the residual is
    least in the norm of its inverse. Keeps one correction of the state for every iteration.
    """
    correction, solution, left = _begin(system, start)
    root = system.diagonal.sqrt()
    size = (left / root).norm(dim=1, keepdim=True)
    basis = [left / root / size.clamp_min(TINY)]
    images, moves = [], []
    active = size > 0
    for _ in range(iterations):
        direction = basis[-1] / root
        moved, image = system.product(direction)
        active = active & system.sound(direction, dot(direction, image))
        ahead = image / root
        images.append(torch.where(active, ahead, 0.0))
        moves.append(along(active.to(moved), moved))
        # Twice: in float32 one pass of Gram and Schmidt leaves the basis oblique.
        for _ in range(2):
            for vector in basis:
                ahead = ahead - dot(vector, ahead) * vector
        basis.append(ahead / ahead.norm(dim=1, keepdim=True).clamp_min(TINY))
    # By normal equations, in float64 and few. Columns of members that have stopped are zero, to
    # which the pseudo-inverse gives no weight.
    matrix = torch.stack(images, dim=2).double()
    wanted = matrix.mT @ (left / root).double()[:, :, None]
    weights = (torch.linalg.pinv(matrix.mT @ matrix, rtol=1e-10) @ wanted)[:, :, 0].to(left)
    for number, moved in enumerate(moves):
        step = weights[:, number : number + 1]
        solution = solution + step * basis[number] / root
        correction = correction + along(step, moved)
    return correction, solution


def stabilised_biconjugate_gradients(
    system: System, iterations: int, start: Tensor | None
) -> tuple[Tensor, Tensor]:
    """BiCGSTAB (van der Vorst 1992), which asks for no symmetry of A and keeps no basis.

    Preconditioned from the right; an iteration is two products. A member whose second product is
    unsound keeps the first half of that iteration.
    """
    correction, solution, left = _begin(system, start)
    shadow, direction, norm = left, left, dot(left, left)
    active = norm > 0
    for _ in range(iterations):
        ahead = direction / system.diagonal
        moved, image = system.product(ahead)
        along_shadow = dot(shadow, image)
        # Orthogonal to the shadow: the recurrence has broken down, and the member stops.
        active = active & system.sound(ahead, dot(ahead, image)) & (along_shadow != 0)
        step = torch.where(active, norm / along_shadow, 0.0)
        solution = solution + step * ahead
        correction = correction + along(step, moved)
        left = left - step * image

        scaled = left / system.diagonal
        moved, second = system.product(scaled)
        active = active & system.sound(scaled, dot(scaled, second))
        half = torch.where(active, dot(second, left) / dot(second, second).clamp_min(TINY), 0.0)
        solution = solution + half * scaled
        correction = correction + along(half, moved)
        left = left - half * second

        new = dot(shadow, left)
        active = active & (half != 0) & (new != 0)
        ratio = torch.where(active, new / norm * step / half, 0.0)
        direction = left + ratio * (direction - half * image)
        norm = new
    return correction, solution


SOLVERS: dict[str, Solver] = {
    "cg": conjugate_gradients,
    "gmres": minimal_residual,
    "bicgstab": stabilised_biconjugate_gradients,
}
