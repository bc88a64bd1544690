"""What travels between the components of a method while one layer is pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from apt_core import maths
from apt_core.base.patterns import SemiStructured, Unstructured

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats
    from apt_core.maths.output_metric import OutputMetric


class LayerProblem(NamedTuple):
    """Make `weight` sparse so that tr(S (W' - W) G (W' - W)^T) stays small."""

    weight: Tensor  # [out, in] float32: W, whose outputs are aimed at
    stats: LayerStats  # holds G
    pattern: Unstructured | SemiStructured
    dampening: float  # added to the diagonal of G, as a share of its mean
    outputs: OutputMetric | None = None  # S; None for the identity
    in_attention: bool = True  # also where the model has no attention, or nobody says

    @property
    def hessian(self) -> Tensor:
        """The dampened Gram matrix [in, in]."""
        return maths.hessian.dampened(self.stats.gram, self.dampening)


class MaskedWeight(NamedTuple):
    """A mask, and the weights that stay as the search for it left them."""

    pruned: Tensor  # [out, in] bool, True where removed
    weight: Tensor  # [out, in] float32, zero where removed

    @classmethod
    def untouched(cls, weight: Tensor, pruned: Tensor) -> MaskedWeight:
        """The weights that stay have not moved."""
        return cls(pruned, maths.zeros.zeroed(weight, pruned))


class Pruned(NamedTuple):
    """The result for one linear layer."""

    weight: Tensor  # [out, in] float32, exactly zero where removed
    pruned: Tensor  # [out, in] bool, True where removed
    dampening: float = 0.0  # what was really used, as a share of the Gram matrix's mean diagonal
