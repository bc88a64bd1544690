"""Magnitude: the oldest baseline. Looks at the weights alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apt_core.methods.base import Method, Pruned
from apt_core.patterns import SemiStructured, Unstructured

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats


class Magnitude(Method):
    """Remove the smallest |w| of each matrix; nothing is compensated."""

    name: ClassVar[str] = "magnitude"
    title: ClassVar[str] = "Magnitude"
    source: ClassVar[str] = "Han et al. 2015, arXiv 1506.02626"
    summary: ClassVar[str] = (
        "Drops the smallest weights and looks at nothing else: instant, and usually the worst."
    )

    def prune(self, weight: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured) -> Pruned:
        from apt_core.maths import pattern as patterns

        patterns.check_fits(weight.shape[1], pattern)
        pruned = patterns.choose_in_matrix(weight.float().abs(), pattern)
        return Pruned(weight.float().masked_fill(pruned, 0), pruned)
