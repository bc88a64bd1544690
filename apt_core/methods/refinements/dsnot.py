"""DSnoT: kept and removed weights trade places until each row's expected error is small (arXiv 2310.08915)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from apt_core import maths
from apt_core.base.cost import FLOAT, Cost, passes
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Refinement, Statistic
from apt_core.methods.problem import LayerProblem, MaskedWeight

_PASSES_PER_CYCLE = 8


class DSnoT(Refinement):
    """Dynamic sparse, no training: decided on the original weights, by means and variances of the inputs."""

    name: ClassVar[str] = "dsnot"
    title: ClassVar[str] = "DSnoT"
    source: ClassVar[str] = "arXiv 2310.08915"
    summary: ClassVar[str] = (
        "Kept and removed weights trade places until the expected error of each row is close to zero."
    )

    where: Literal["attention", "everywhere"] = Field(
        default="attention",
        title="Layers",
        description="Attention alone, as published; where a model has none, every layer",
    )
    cycles: int = Field(default=50, ge=1, le=1000, title="Cycles", description="Trades per row at most")
    tolerance: float = Field(
        default=0.1, ge=0, title="Tolerance", description="A row with a smaller expected error is done"
    )

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.MOMENTS})

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """Every cycle looks at all weights of a layer a few times."""
        if self.where == "attention" and not shape.in_attention:
            return Cost()
        moved = passes(shape.weights, self.cycles * _PASSES_PER_CYCLE)
        return Cost(moved=moved, peak=4 * FLOAT * shape.weights)

    def refine(self, problem: LayerProblem, found: MaskedWeight) -> MaskedWeight:
        stats = problem.stats
        if stats.sums is None or (self.where == "attention" and not problem.in_attention):
            return found
        inputs = maths.dsnot.InputMoments.of(stats.sums, stats.gram.diagonal(), stats.tokens, stats.sequences)
        pruned = maths.dsnot.grown_and_pruned(
            problem.weight, found.pruned, inputs, problem.pattern, self.cycles, self.tolerance
        )
        return MaskedWeight.untouched(problem.weight, pruned)
