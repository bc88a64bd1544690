"""How much each direction of a layer's output counts: S in the objective tr(S dW G dW^T).

S = I is the layer-wise objective of every one-shot pruner: all outputs count alike. With the gradients g of
the loss at the outputs, S = sum g g^T says how sensitive the loss is to each direction (K-FAC). The two are mixed,

    S = (1 - share) I + share * (sum g g^T) / (mean of its diagonal)

since the layers behind are pruned too and the gradients are a sample. S is then scaled to a unit diagonal,
and what is left is close to a multiple of the identity in all but a few directions: those few, found by
subspace iteration, are kept exactly, the others share one value.

Example: S = [[1, .6], [.6, 1]] has the directions (1, 1)/sqrt 2 with 1.6 and (1, -1)/sqrt 2 with 0.4. With
rank 1 nothing is lost: rest = 0.4, and S x = 0.4 x + (1.6 - 0.4) v (v . x) for v = (1, 1)/sqrt 2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from apt_core.base.limits import METRIC_RANK, metric_rank

_EXTRA, _ITERATIONS = 16, 3  # of the subspace iteration


class OutputMetric(NamedTuple):
    """S, as a scale of every output and a few directions of what is then left."""

    scale: Float[Tensor, "out 1"]  # square root of S's diagonal
    values: Float[Tensor, "rank"]  # noqa: UP037 - jaxtyping's axes
    vectors: Float[Tensor, "out rank"]
    rest: float

    def times(self, scaled: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
        """What is left of S once its scale is taken out, times a matrix in scaled rows."""
        inside = (self.values - self.rest).unsqueeze(1) * (self.vectors.T @ scaled)
        return (self.vectors @ inside).add_(scaled, alpha=self.rest)

    def to(self, device: torch.device) -> OutputMetric:
        return OutputMetric(self.scale.to(device), self.values.to(device), self.vectors.to(device), self.rest)


def layer_wise(outputs: int, like: Tensor) -> OutputMetric:
    """S = I."""
    return OutputMetric(like.new_ones(outputs, 1), like.new_zeros(0), like.new_zeros(outputs, 0), 1.0)


def by_loss(outer: Float[Tensor, "out out"], share: float, rank: int = METRIC_RANK) -> OutputMetric:
    """outer: the mean of g g^T. share: 0 counts all outputs alike, 1 only by the sensitivity of the loss.

    Rank is at most a third of the outputs: where a layer is small its S is small too, and the tail matters.
    """
    mean = outer.diagonal().mean()
    if not share or mean <= 0:
        return layer_wise(len(outer), outer)
    mixed = outer * (share / mean)
    mixed.diagonal().add_(1 - share)
    scale = mixed.diagonal().clamp_min(1e-8).sqrt().unsqueeze(1)
    normal = mixed / (scale * scale.T)
    rank = min(rank, metric_rank(len(outer)))
    values, vectors = _leading(normal, rank)
    left = len(outer) - rank  # directions; a layer of one output has none
    rest = max(float(normal.diagonal().sum() - values.sum()) / left, 1e-3) if left else 1.0
    return OutputMetric(scale, values, vectors, rest)


def _leading(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalues and their vectors, by subspace iteration from a fixed start.

    Not `torch.svd_lowrank`: on a symmetric matrix it takes two products for one of these, and a start of its own.
    """
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(len(matrix), min(rank + _EXTRA, len(matrix)), generator=generator)
    basis = torch.linalg.qr(start.to(matrix.device))[0]
    for _ in range(_ITERATIONS):
        basis = torch.linalg.qr(matrix @ basis)[0]
    values, vectors = torch.linalg.eigh(basis.T @ matrix @ basis)
    return values[-rank:], basis @ vectors[:, -rank:]
