"""The Multiple Removal Problem and its closed-form optimal compensation (arXiv 2410.15567).

Removing the set P of a row w at once, the least loss ||dw X||^2 subject to (w + dw)_P = 0 is reached by

    dw = -w_P ([H^-1]_PP)^-1 [H^-1]_P,:            loss = w_P ([H^-1]_PP)^-1 w_P^T      (H = G)

Example: H = [[2, 1], [1, 2]], w = [1, 3], P = {0}. H^-1 = [[2, -1], [-1, 2]] / 3, so
dw = -1 * (3/2) * [2/3, -1/3] = [-1, 0.5] and w becomes [0, 3.5]; the loss is 1 * 3/2 * 1 = 1.5,
as G says: [-1, .5] H [-1, .5]^T = 2 - 1 + 0.5 = 1.5. Leaving the second weight alone would lose 2.

Block by block, left to right, no inverse is ever rebuilt: with H^-1 = U^T U the inverse that counts once
everything left of column i is frozen is C = U[i:, i:]^T U[i:, i:]. For a block b of columns this gives
dw = -z U[b, i:] with z the shortest solution of z U[b, P] = w_P: one small system per row,
then one matrix product for all rows.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.errors import NotPositiveDefinite

# Small systems are solved one chunk of rows at a time, a few tens of megabytes each.
_CHUNK_ELEMENTS = 4_000_000
# The blocks' C is well conditioned (2 to 250 on SmolLM2's layers): 10 to 20 steps reach float32's end.
_TOLERANCE = 1e-6
_MOST_STEPS = 64


def block_multipliers(
    weight: Float[Tensor, "rows b"], pruned: Bool[Tensor, "rows b"], factor: Float[Tensor, "b b"]
) -> Float[Tensor, "rows b"]:
    """z of every row: the update of the rest of the matrix is `-z @ U[b, i:]`.

    z = U_b[:, P] (C_PP)^-1 w_P with C = U_b^T U_b.

    weight: the block's weights as updated by the blocks before it. factor: U[b, b], upper triangular.
    """
    inverse = factor.T @ factor
    return solve_on_support(inverse, weight, pruned) @ factor.T


def solve_on_support(
    matrix: Float[Tensor, "n n"], target: Float[Tensor, "rows n"], support: Bool[Tensor, "rows n"]
) -> Float[Tensor, "rows n"]:
    """Per row: x with (matrix x)_S = target_S and x = 0 outside the support S. `matrix` is symmetric p.d.

    All rows at once by conjugate gradients (one matrix product a step, whatever the supports), to float32
    accuracy; rows that have not got there in time are solved directly.
    """
    solved, residual = conjugate_gradients(matrix, target, support, _TOLERANCE, _MOST_STEPS)
    late = ~(residual <= _TOLERANCE * 10)  # where it is not a number, too
    if late.any():
        solved[late] = solve_directly(matrix, target[late], support[late])
    return solved


def conjugate_gradients(
    matrix: Float[Tensor, "n n"],
    target: Float[Tensor, "rows n"],
    support: Bool[Tensor, "rows n"],
    tolerance: float,
    most_steps: int,
    start: Float[Tensor, "rows n"] | None = None,
) -> tuple[Float[Tensor, "rows n"], Float[Tensor, rows]]:
    """Masked conjugate gradients with the diagonal as preconditioner: (x, relative residual of each row).

    start: where to begin, zero outside the support; from zero when None.
    """
    scale = matrix.diagonal().rsqrt()
    scaled = matrix * scale * scale.unsqueeze(1)
    inside = support.to(target.dtype)
    residual = target * scale * inside
    wanted = (residual * residual).sum(dim=1, keepdim=True).clamp_min(1e-30) * tolerance**2
    if start is None:
        solution = torch.zeros_like(residual)
    else:
        solution = start / scale * inside
        residual = residual - (solution @ scaled) * inside
    direction = residual.clone()
    energy = (residual * residual).sum(dim=1, keepdim=True)
    for _ in range(most_steps):
        image = (direction @ scaled).mul_(inside)
        step = energy / (direction * image).sum(dim=1, keepdim=True).clamp_min(1e-30)
        solution.addcmul_(step, direction)
        residual.addcmul_(step, image, value=-1)
        before, energy = energy, (residual * residual).sum(dim=1, keepdim=True)
        if (energy <= wanted).all():
            break
        direction = torch.addcmul(residual, energy / before.clamp_min(1e-30), direction)
    relative = (energy / wanted).sqrt().mul_(tolerance).squeeze(1)
    return solution.mul_(scale), relative


def solve_directly(
    matrix: Float[Tensor, "n n"], target: Float[Tensor, "rows n"], support: Bool[Tensor, "rows n"]
) -> Float[Tensor, "rows n"]:
    """As `solve_on_support`, by one factorisation per row: slower, for any condition.

    Raises NotPositiveDefinite where a system is singular.
    """
    result = torch.zeros_like(target)
    counts = support.sum(dim=1)
    by_size = counts.argsort(descending=True)  # neighbours in size share one padded batch
    start = 0
    while start < len(target):
        size = int(counts[by_size[start]])
        if size == 0:
            break
        chunk = by_size[start : start + max(1, _CHUNK_ELEMENTS // size**2)]
        result[chunk] = _solve_padded(matrix, target[chunk], support[chunk], size)
        start += len(chunk)
    return result


def _solve_padded(matrix: Tensor, target: Tensor, support: Tensor, size: int) -> Tensor:
    """Gather each row's support to the front, pad with identity rows, solve, scatter back."""
    columns = support.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :size]
    inside = support.gather(1, columns)
    systems = matrix[columns.unsqueeze(2), columns.unsqueeze(1)]
    systems.masked_fill_(~(inside.unsqueeze(2) & inside.unsqueeze(1)), 0)
    systems.diagonal(dim1=1, dim2=2).masked_fill_(~inside, 1)
    right = target.gather(1, columns).masked_fill(~inside, 0)
    solved = torch.linalg.solve_ex(systems, right)[0]
    if not torch.isfinite(solved).all():
        raise NotPositiveDefinite
    return torch.zeros_like(target).scatter_(1, columns, solved.masked_fill(~inside, 0))


def full_compensation(
    weight: Float[Tensor, "out in"], pruned: Bool[Tensor, "out in"], hessian: Float[Tensor, "in in"]
) -> Float[Tensor, "out in"]:
    """The optimum over whole rows: w_K += w_P G_PK (G_KK)^-1, exact zeros at P.

    Equal to the formula above; the reference that the block version is measured against.
    """
    return solve_directly(hessian, weight @ hessian, ~pruned)
