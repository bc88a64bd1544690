"""OWL: blocks with more outlier saliencies keep more (arXiv 2310.05175)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from apt_core import maths
from apt_core.base.cost import Cost, passes
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import (
    Allocation,
    DenseModel,
    LayerKey,
    SeenLayer,
    Statistic,
    exact_shares,
)


class Owl(Allocation):
    """Outlier-weighed layer-wise sparsity: the densities of blocks spread over 2 x deviation, by their outliers.

    D_l is the share of Wanda's saliencies of a block, in the dense model, above `threshold` times their mean; a block
    loses c - 2 deviation (D_l - min D) / (max D - min D), clipped to [0, 0.99], with the one c that meets the budget by
    parameters (the published code takes the plain mean over blocks).
    """

    name: ClassVar[str] = "owl"
    title: ClassVar[str] = "OWL"
    source: ClassVar[str] = "arXiv 2310.05175"
    summary: ClassVar[str] = (
        "Blocks in which more saliencies stand out from the mean keep more of their weights."
    )
    place: ClassVar[int] = 30

    deviation: float = Field(
        default=0.08,
        ge=0,
        le=0.5,
        title="Deviation",
        description="Half of how far the sparsities of blocks spread",
    )
    threshold: float = Field(
        default=5.0,
        gt=0,
        le=100,
        title="Outlier",
        description="A saliency so many times as large as the mean",
    )

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.DENSE_INPUTS} if self.deviation else ())

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """Squares of the inputs, and a look at every saliency."""
        if not self.varies(pattern):
            return Cost()
        return Cost(moved=passes(tokens * shape.in_features, 1) + passes(shape.weights, 4))

    def varies(self, pattern: Unstructured | SemiStructured) -> bool:
        return pattern.by_layer and self.deviation > 0

    def scores(self, block: Mapping[str, SeenLayer]) -> dict[str, float]:
        weights = [layer.weight for layer in block.values()]
        energies = [layer.energies for layer in block.values() if layer.energies is not None]
        return dict.fromkeys(block, maths.outliers.outlier_share(weights, energies, self.threshold))

    def shares(
        self, dense: DenseModel, pattern: Unstructured | SemiStructured
    ) -> dict[LayerKey, float] | None:
        scores = [dense.scores[key] for key in dense.sizes] if dense.scores else []
        if not self.varies(pattern) or not scores or pattern.sparsity == 0 or max(scores) == min(scores):
            return None
        spread = max(scores) - min(scores)
        wishes = [-2 * self.deviation * (one - min(scores)) / spread for one in scores]
        sizes = list(dense.sizes.values())
        return exact_shares(dense.sizes, maths.shares.shifted(wishes, sizes, pattern.sparsity))
