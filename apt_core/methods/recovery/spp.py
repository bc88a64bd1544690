"""SPP: a pruned weight times one plus a small product, so that zeros stay zeros (arXiv 2405.16057).

    W' = W * (1 + s R(A) b),  A [r, in], b [out, 1], s = 2

R(A) repeats each row of A so that row i of W meets row i // (out / r) of A. At the start b is zero, so W' = W. The
product is taken of the weight itself, in place of the authors' second product of activations with dropout 0.05: the
same function without dropout, for a third less work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from apt_core.base.cost import FLOAT
from apt_core.base.lazy import lazy
from apt_core.methods.recovery.base import (
    Attached,
    Merged,
    Recovery,
    Sizes,
    TrainingWork,
    check_pruned,
    owners,
)

if TYPE_CHECKING:
    from torch import nn
    from torch.nn.utils import parametrize

    from apt_core.families import Layer
    from apt_core.maths import spp as spp_maths
else:
    parametrize = lazy("torch.nn.utils.parametrize")
    spp_maths = lazy("apt_core.maths.spp")


class Spp(Recovery):
    """Each kept weight is scaled by a learnt factor of low rank; a zero times anything is zero."""

    name: ClassVar[str] = "spp"
    title: ClassVar[str] = "SPP"
    source: ClassVar[str] = "Lu et al. 2024, arXiv 2405.16057"
    summary: ClassVar[str] = (
        "Every kept weight is scaled by a learnt factor, so that zeros stay zeros by themselves."
    )
    place: ClassVar[int] = 10

    learning_rate: float = Field(
        default=4e-3, gt=0, le=1, title="Learning rate", description="the largest, after the warm-up"
    )
    weight_decay: float = Field(default=1e-3, ge=0, le=1, title="Weight decay", description="of AdamW")
    rank: int = Field(
        default=16, ge=1, le=256, title="Rank", description="rows of A; the authors' code has 16"
    )
    scale: float = Field(default=2.0, gt=0, le=100, title="Scale", description="s; the authors' code has 2")

    def attach(self, model: nn.Module, layers: Sequence[Layer]) -> Attached:
        check_pruned(layers, "SPP")
        return _Scaled(self, model, layers)

    def work(self, sizes: Sizes) -> TrainingWork:
        """As training every weight, but the gradient of each is summed up at once; W' stays until the way back."""
        trained = sum(self.rank * one.in_features + one.out_features for one in sizes.layers) * sizes.blocks
        return TrainingWork(trained, 6.0 * sizes.prunable + 4.0 * sizes.head, 2.0 * FLOAT * sizes.prunable)


class _Scaled(Attached):
    """The factors in place, as parametrisations of the weights that transformers reads."""

    def __init__(self, options: Spp, model: nn.Module, layers: Sequence[Layer]):
        held = owners(model)
        trained: dict[str, nn.Parameter] = {}
        self._places: list[tuple[nn.Module, str, str]] = []
        fewer = 0
        for layer in layers:
            name, module, inside = held[id(layer.parameter)]
            rows, columns = layer.shape
            rank = math.gcd(rows, options.rank)
            fewer += rank < options.rank
            factors = spp_maths.Factors(rows, columns, rank, options.scale, _is_turned(layer))
            factors.to(layer.parameter.device)
            parametrize.register_parametrization(module, inside, factors, unsafe=True)
            self._places.append((module, inside, f"{name}.{inside}"))
            trained |= {f"{name}.A": factors.A, f"{name}.b": factors.b}
        super().__init__(trained)
        if fewer:
            self.note = (
                f"In {fewer} layers the number of rows is no multiple of the rank {options.rank}, so A has fewer rows "
                "there."
            )

    def merge(self) -> Merged:
        """W' in float32, in place of W."""
        for module, inside, _ in self._places:
            parametrize.remove_parametrizations(module, inside, leave_parametrized=True)
            module.get_parameter(inside).requires_grad_(False)
        return Merged(frozenset(name for *_, name in self._places))


def _is_turned(layer: Layer) -> bool:
    """Is the matrix stored as [in, out]?"""
    return tuple(layer.parameter.shape) != layer.shape or layer.matrix.stride() != layer.parameter.stride()
