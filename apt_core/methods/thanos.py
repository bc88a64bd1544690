"""Thanos: Wanda's scores with block-wise compensation (arXiv 2504.05346)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.methods.base import Dampening, Method, Pruned

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats


class Thanos(Method):
    """APT's compensation of whole blocks, with masks by Wanda's scores over all columns that remain.

    Its code leaves a tenth of the rows dense for N:M; here every row keeps the pattern.
    """

    name: ClassVar[str] = "thanos"
    title: ClassVar[str] = "Thanos"
    source: ClassVar[str] = "arXiv 2504.05346, without dense outlier rows"
    summary: ClassVar[str] = (
        "Chooses by Wanda's rule among all columns still to come and makes up for a whole block at once."
    )

    block_size: int = Field(
        default=256,
        ge=16,
        le=4096,
        title="Block size",
        description="Columns whose removals are solved together",
    )
    dampening: Dampening = 0.01

    def prune(self, weight: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured) -> Pruned:
        from apt_core.maths import pattern as patterns
        from apt_core.maths.live_inputs import prune_live_inputs
        from apt_core.maths.pieces import Problem, thanos

        def solve(live: Tensor, of_live: LayerStats, wanted: Unstructured | SemiStructured):
            found = thanos(Problem(live, of_live, wanted, self.dampening), self.block_size)
            return found.weight, found.pruned

        patterns.check_fits(weight.shape[1], pattern)
        return Pruned(*prune_live_inputs(weight.float(), stats, pattern, solve), self.dampening)
