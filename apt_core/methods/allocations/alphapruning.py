"""AlphaPruning: layers with a light spectral tail lose more (arXiv 2410.10912)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import ClassVar, Literal

from pydantic import Field

from apt_core import maths
from apt_core.base import cost
from apt_core.base.cost import Cost
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


class AlphaPruning(Allocation):
    """Sparsities linear in the power-law exponent of each layer's spectrum; no data is needed.

    phi_l runs from 1 - deviation at the smallest exponent to 1 + deviation at the largest; a layer loses eta phi_l,
    clipped at 0.99, with the one eta that meets the budget by parameters. A matrix without a tail, as one of zeros, has
    no exponent: it loses as much as the one with the largest, and does not count in the mean of a block.
    """

    name: ClassVar[str] = "alphapruning"
    title: ClassVar[str] = "AlphaPruning"
    source: ClassVar[str] = "arXiv 2410.10912"
    summary: ClassVar[str] = (
        "Layers whose weights have a light-tailed spectrum, a sign of little learning, lose more."
    )
    place: ClassVar[int] = 20

    deviation: float = Field(
        default=0.3,
        ge=0,
        lt=1,
        title="Deviation",
        description="How far sparsities spread, relative to the mean",
    )
    metric: Literal["mid", "peak"] = Field(
        default="peak",
        title="Where the tail begins",
        description="Near the peak of the spectrum, where a power law fits best (as published), or at half of it",
    )
    by: Literal["block", "matrix"] = Field(
        default="block", title="Exponent of", description="Each matrix, or their mean over a decoder block"
    )

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.DENSE_WEIGHTS} if self.deviation else ())

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """Singular values alone: a triangular factor of what the taller side has more, then 1.3 times a symmetric
        matrix of the smaller side; near the peak a fit of some twenty operations for each of three quarters of them."""
        if not self.varies(pattern):
            return Cost()
        small, large = sorted((shape.out_features, shape.in_features))
        fits = 0.75 * small if self.metric == "peak" else 1
        return Cost(
            spectra=1.3 * 9.0 * small**3,
            factorisations=2.0 * small**2 * (large - small),
            calls=22 * fits,
            moved=cost.passes(small, 6 * fits),
        )

    def varies(self, pattern: Unstructured | SemiStructured) -> bool:
        return pattern.by_layer and self.deviation > 0

    def scores(self, block: Mapping[str, SeenLayer]) -> dict[str, float]:
        found = {
            name: maths.power_law.tail_exponent(layer.weight, self.metric) for name, layer in block.items()
        }
        if self.by == "matrix":
            return found
        known = [one for one in found.values() if math.isfinite(one)]
        return dict.fromkeys(found, fmean(known) if known else math.inf)

    def shares(
        self, dense: DenseModel, pattern: Unstructured | SemiStructured
    ) -> dict[LayerKey, float] | None:
        scores = _placed([dense.scores[key] for key in dense.sizes] if dense.scores else [])
        if not self.varies(pattern) or not scores or pattern.sparsity == 0 or max(scores) == min(scores):
            return None
        spread = max(scores) - min(scores)
        wishes = [1 - self.deviation + 2 * self.deviation * (one - min(scores)) / spread for one in scores]
        sizes = list(dense.sizes.values())
        return exact_shares(dense.sizes, maths.shares.scaled(wishes, sizes, pattern.sparsity))


def _placed(scores: Sequence[float]) -> list[float]:
    """A layer without an exponent gets the largest; nothing where none has one."""
    known = [one for one in scores if math.isfinite(one)]
    return [min(one, max(known)) for one in scores] if known else []
