"""The closed form of the Multiple Removal Problem on one row of a layer, with all its numbers, in float64.

    dw = -w_P ([H^-1]_PP)^-1 [H^-1]_P,:          loss = 1/2 w_P ([H^-1]_PP)^-1 w_P^T

(arXiv 2410.15567; a published port numbers them eq. 13 and 12.) H = 2 (G + d I) is the Hessian of
||dw X||^2 + d ||dw||^2, so the loss it predicts is dw (G + d I) dw^T: that of the text, and the dampening's part.

Example: G = [[2, 1], [1, 2]], d = 0, w = [1, 3], P = {0}. H^-1 = [[2, -1], [-1, 2]] / 6; dw = -1 * 3 * [1/3, -1/6]
= [-1, 0.5], and the loss 1/2 * 1 * 3 * 1 = 1.5 is what dw G dw^T gives.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from apt_core.base.errors import NotPositiveDefinite
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.maths.compensate import full_compensation
from apt_core.maths.hessian import LayerStats, dampened
from apt_core.measure.inside.values import Moved, WholeRow, Worked

_MOST_REMOVALS, _MOST_MOVED = 4, 6
WIDEST = 8192  # inputs; beyond it the float64 factor alone takes half a gigabyte and minutes


class Example(NamedTuple):
    """A row before and after, and which of its removed weights the formula is worked on. All float64 but `pruned`."""

    dense: Tensor  # [in]
    stored: Tensor
    pruned: Tensor  # bool
    gram: Tensor  # [in, in]
    columns: Tensor  # P, ascending
    chosen: str


def worked(
    dense: Tensor,
    stored: Tensor,
    pruned: Tensor,
    stats: LayerStats,
    dampening: float,
    row: int,
    pattern: Unstructured | SemiStructured,
    method: tuple[str, bool],
) -> Worked | None:
    """None for a row that lost nothing. method: (its title, is it APT?)."""
    if not bool(pruned[row].any()):
        return None
    gram = stats.gram.double().cpu()
    example = _example(dense[row].double(), stored[row].double(), pruned[row], gram, pattern)
    hessian = dampened(gram, dampening)
    rows = _rows_of_inverse(2 * hessian, example.columns)
    removed = example.dense[example.columns]
    inner = rows[:, example.columns]
    multipliers = torch.linalg.solve(inner, removed)
    by = -multipliers @ rows
    by[example.columns] = -removed  # what the formula says of P, without its rounding
    return Worked(
        row=row,
        columns=tuple(example.columns.tolist()),
        chosen=example.chosen,
        weights=tuple(removed.tolist()),
        inverse=tuple(map(tuple, inner.tolist())),
        multipliers=tuple(multipliers.tolist()),
        moved=_moved(example, rows, by),
        dampening=dampening,
        predicted=float(multipliers @ removed) / 2,
        exact=_loss(by, gram),
        zeroed=_loss(-_only(example.dense, example.columns), gram),
        tokens=stats.tokens,
        whole=_whole(example, hessian),
        own=method[1],
        method=method[0],
    )


def _example(
    dense: Tensor, stored: Tensor, pruned: Tensor, gram: Tensor, pattern: Unstructured | SemiStructured
) -> Example:
    """Few enough removals to be read: one N:M group, or the four that were worth most by |w| ||x||."""
    worth = dense.abs() * gram.diagonal().clamp_min(0).sqrt() * pruned
    if isinstance(pattern, SemiStructured):
        group = int(worth.reshape(-1, pattern.of).sum(dim=1).argmax())
        if not bool(pruned.reshape(-1, pattern.of)[group].any()):  # what went was worth nothing
            group = int(pruned.reshape(-1, pattern.of).sum(dim=1).argmax())
        columns = pruned.nonzero().flatten()
        columns = columns[columns // pattern.of == group]
        return Example(dense, stored, pruned, gram, columns, f"the {pattern.label} group that lost most")
    removed = int(pruned.sum())
    order = worth.masked_fill(~pruned, -1.0).argsort(descending=True, stable=True)
    columns = order[: min(removed, _MOST_REMOVALS)].sort().values
    chosen = (
        "all that the row lost"
        if removed <= _MOST_REMOVALS
        else f"the {_MOST_REMOVALS} of its {removed} removed weights that were worth most, by |w| ‖x‖"
    )
    return Example(dense, stored, pruned, gram, columns, chosen)


def _rows_of_inverse(hessian: Tensor, columns: Tensor) -> Tensor:
    """[H^-1]_P,: without the rest of the inverse. Raises NotPositiveDefinite."""
    lower, failed = torch.linalg.cholesky_ex(hessian)
    if failed:
        raise NotPositiveDefinite
    identity = torch.eye(len(hessian), dtype=hessian.dtype)[:, columns]
    solved: Tensor = torch.cholesky_solve(identity, lower)
    return solved.T


def _moved(example: Example, rows: Tensor, by: Tensor) -> tuple[Moved, ...]:
    free = by.abs().masked_fill(example.pruned, -1.0)
    order = free.argsort(descending=True, stable=True)[:_MOST_MOVED].tolist()
    return tuple(
        Moved(
            column=column,
            dense=float(example.dense[column]),
            inverse=tuple(rows[:, column].tolist()),
            by=float(by[column]),
            stored=float(example.stored[column]),
        )
        for column in order
        if free[column] >= 0
    )


def _whole(example: Example, hessian: Tensor) -> WholeRow:
    dense, gram = example.dense, example.gram
    best = full_compensation(dense[None], example.pruned[None], hessian)[0]
    return WholeRow(
        removed=int(example.pruned.sum()),
        energy=_loss(dense, gram),
        zeroed=_loss(-dense * example.pruned, gram),
        optimum=_loss(best - dense, gram),
        stored=_loss(example.stored - dense, gram),
        dampened_optimum=_loss(best - dense, hessian),
        dampened_stored=_loss(example.stored - dense, hessian),
    )


def _only(values: Tensor, columns: Tensor) -> Tensor:
    found = torch.zeros_like(values)
    found[columns] = values[columns]
    return found


def _loss(change: Tensor, gram: Tensor) -> float:
    return max(float(change @ gram @ change), 0.0)
