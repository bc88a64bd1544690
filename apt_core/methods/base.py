"""What a pruning method is: a frozen value whose fields are its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

from pydantic import Field

from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.values import Frozen

if TYPE_CHECKING:  # the page reads the options without loading torch
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats
    from apt_core.maths.output_metric import OutputMetric


# The option of every method that factorises its statistics; the pipeline retries with ten times as much.
Dampening = Annotated[
    float, Field(gt=0, le=1, title="Dampening", description="Added to the diagonal, as a share of its mean")
]


class Pruned(NamedTuple):
    """The result for one linear layer."""

    weight: Tensor  # [out, in] float32, exactly zero where removed
    pruned: Tensor  # [out, in] bool, True where removed
    dampening: float = 0.0  # what was really used, as a fraction of the Gram's mean diagonal


class Method(Frozen):
    """One way to prune one linear layer.

    A new method is one file in this folder with one subclass: its fields (with defaults, bounds,
    `title` and `description`) become the controls of the page, the `--set` options of the command
    line and the schema of the Python API.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    summary: ClassVar[str]  # one plain sentence for somebody who has never pruned a model

    @property
    def label(self) -> str:
        """What tables call it."""
        return self.title

    @property
    def compares_with_dense(self) -> bool:
        """Does this method read how the dense model's hidden states differ? Then both are carried along."""
        return False

    @property
    def asks_the_loss(self) -> bool:
        """Does this method weigh outputs by the gradients of the dense model's loss? Then they are measured."""
        return False

    def condense(self, outer: Tensor) -> OutputMetric:
        """What a method that asks the loss keeps of the mean of g g^T [out, out] at a layer's output."""
        raise NotImplementedError(f"{self.name} asks the loss without saying what it keeps of it")

    def budget_reach(self, pattern: Unstructured | SemiStructured) -> float:
        """How far the sparsity of a layer may lie from the model's; 0 where every layer loses the same share.

        Only methods that ask the loss can answer with more than 0 (`budgets`).
        """
        return 0.0

    def prune(self, weight: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured) -> Pruned:
        """Prune `weight` [out, in] with the statistics of its inputs; never writes to `weight`.

        Raises NotPositiveDefinite when the statistics cannot be factorised, BadPattern when the
        pattern does not fit the width.
        """
        raise NotImplementedError
