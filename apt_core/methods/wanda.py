"""Wanda: weights times the size of their inputs (arXiv 2306.11695)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apt_core.methods.base import Method, Pruned
from apt_core.patterns import SemiStructured, Unstructured

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats


class Wanda(Method):
    """Remove the smallest |w_ij| ||x_j|| of each output row; nothing is compensated."""

    name: ClassVar[str] = "wanda"
    title: ClassVar[str] = "Wanda"
    source: ClassVar[str] = "Sun et al. 2023, arXiv 2306.11695"
    summary: ClassVar[str] = (
        "Drops weights that are small or whose inputs are small; the weights that stay are not changed."
    )

    def prune(self, weight: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured) -> Pruned:
        from apt_core.maths import pattern as patterns
        from apt_core.maths import saliency

        patterns.check_fits(weight.shape[1], pattern)
        dense = weight.float()
        pruned = patterns.choose_by_row(saliency.wanda(dense, stats.gram), pattern)
        return Pruned(dense.masked_fill(pruned, 0), pruned)
