"""A search for the highest sparsity that keeps perplexity within a bound: one job, repeated at other sparsities."""

from __future__ import annotations

from pydantic import Field, model_validator

from apt_core.base.values import Frozen
from apt_core.jobs.prune import Prune


class Bisection(Frozen):
    """What is looked for: the most unstructured sparsity at which `base` keeps its perplexity within a bound.

    within: pruned over dense perplexity, on the first evaluation text. tolerance: how far the answer may lie below
    the border, in sparsity.
    """

    base: Prune
    within: float = Field(
        default=1.10, gt=1, le=100, title="Within", description="times the dense perplexity"
    )
    tolerance: float = Field(default=0.01, ge=0.01, le=0.25, title="Tolerance", description="of sparsity")

    @model_validator(mode="after")
    def _has_an_unstructured_sparsity(self) -> Bisection:
        if self.base.pattern.kind != "unstructured":
            raise ValueError(
                f"A search for the highest sparsity prunes unstructured; {self.base.pattern.label} has one sparsity."
            )
        return self
