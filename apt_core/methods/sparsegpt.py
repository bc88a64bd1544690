"""SparseGPT: one column at a time, the columns to its right make up for it (arXiv 2301.00774)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.methods.base import Dampening, Method, Pruned

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats
    from apt_core.maths.sequential import Score


class SparseGPT(Method):
    """Algorithm 1 of the paper: masks per column block (or N:M group), then sequential updates."""

    name: ClassVar[str] = "sparsegpt"
    title: ClassVar[str] = "SparseGPT"
    source: ClassVar[str] = "Frantar & Alistarh 2023, arXiv 2301.00774"
    summary: ClassVar[str] = (
        "Removes weights column by column and lets the columns to the right make up for each; "
        "what is left of a column is never revised."
    )

    block_size: int = Field(
        default=128, ge=16, le=4096, title="Block size", description="Columns whose mask is chosen together"
    )
    dampening: Dampening = 0.01

    def prune(self, weight: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured) -> Pruned:
        from apt_core.maths import pattern as patterns
        from apt_core.maths.live_inputs import prune_live_inputs
        from apt_core.maths.sequential import prune_sequentially

        def solve(live: Tensor, of_live: LayerStats, wanted: Unstructured | SemiStructured):
            factor = of_live.inverse_factor(self.dampening)
            score = self.score(live, of_live, factor)
            return prune_sequentially(live, factor, of_live.dead, wanted, self.block_size, score)

        patterns.check_fits(weight.shape[1], pattern)
        return Pruned(*prune_live_inputs(weight.float(), stats, pattern, solve), self.dampening)

    def score(self, dense: Tensor, stats: LayerStats, factor: Tensor) -> Score:
        """How the columns start..stop of the weight, as updated so far, are ranked."""
        from apt_core.maths import saliency

        return lambda columns, start, stop: saliency.obs(columns, factor[start:stop, start:stop])
