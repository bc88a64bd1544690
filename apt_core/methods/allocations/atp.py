"""ATP: sparsity rises arithmetically with depth (arXiv 2502.14770)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from apt_core import maths
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.methods.component import Allocation, DenseModel, LayerKey, exact_shares


class Arithmetic(Allocation):
    """One number: how much more the last block loses than the first; blocks between lie on the line.

    S_l = c + rise l / (L - 1) for block l of L, clipped to [0, 0.99], with the one c that meets the budget by
    parameters. The paper's beta is rise / (L - 1).
    """

    name: ClassVar[str] = "atp"
    title: ClassVar[str] = "By depth (ATP)"
    source: ClassVar[str] = "arXiv 2502.14770"
    summary: ClassVar[str] = "Every block loses a little more than the block before it."
    place: ClassVar[int] = 40

    rise: float = Field(
        default=0.2,
        ge=-1,
        le=1,
        title="Rise",
        description="Sparsity of the last block minus that of the first",
    )

    def varies(self, pattern: Unstructured | SemiStructured) -> bool:
        return pattern.by_layer and self.rise != 0

    def shares(
        self, dense: DenseModel, pattern: Unstructured | SemiStructured
    ) -> dict[LayerKey, float] | None:
        blocks = [block for block, _ in dense.sizes]
        if not self.varies(pattern) or not blocks or pattern.sparsity == 0 or min(blocks) == max(blocks):
            return None
        first, last = min(blocks), max(blocks)
        wishes = [self.rise * (block - first) / (last - first) for block in blocks]
        sizes = list(dense.sizes.values())
        return exact_shares(dense.sizes, maths.shares.shifted(wishes, sizes, pattern.sparsity))
