"""The kept weights before pruning against after: how far the compensation moved them."""

from __future__ import annotations

import torch
from torch import Tensor

from apt_core.measure.inside.values import Change

_CELLS = 48
_REACH = 4.0  # the grid covers so many root mean squares of the dense weights to either side


def change(dense: Tensor, stored: Tensor, pruned: Tensor, dtype: torch.dtype) -> Change:
    """dense, stored: [out, in] float32. dtype: of the checkpoint; rounding to it is not counted as a change."""
    before, after = dense[~pruned], stored[~pruned]
    if not len(before):
        return _of_nothing()
    steps = after - before
    edges = _edges(before)
    return Change(
        kept=len(before),
        moved=int((before.to(dtype) != after.to(dtype)).sum()),
        dense_size=_size(before),
        moved_by=_size(steps),
        furthest=float(steps.abs().max()),
        signs_flipped=int((before.sign() * after.sign() < 0).sum()),
        edges=tuple(edges.tolist()),
        grid=_grid(before, after, edges),
    )


def _of_nothing() -> Change:
    none = {"kept": 0, "moved": 0, "dense_size": 0.0, "moved_by": 0.0, "furthest": 0.0, "signs_flipped": 0}
    return Change(**none, edges=(-1.0, 1.0), grid=((0,),))


def _edges(values: Tensor) -> Tensor:
    reach = _REACH * _size(values) or 1.0
    return torch.linspace(-reach, reach, _CELLS + 1, dtype=torch.float64)


def _grid(before: Tensor, after: Tensor, edges: Tensor) -> tuple[tuple[int, ...], ...]:
    inner = edges[1:-1]
    places = torch.bucketize(before.double(), inner) * _CELLS + torch.bucketize(after.double(), inner)
    counts = torch.bincount(places, minlength=_CELLS * _CELLS).reshape(_CELLS, _CELLS)
    return tuple(tuple(row) for row in counts.tolist())


def _size(values: Tensor) -> float:
    """Root mean square."""
    return float(values.double().square().mean().sqrt())
