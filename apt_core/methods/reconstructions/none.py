"""The weights that stay are those of the layer itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apt_core import maths
from apt_core.methods.component import Reconstruction
from apt_core.methods.problem import LayerProblem, MaskedWeight

if TYPE_CHECKING:
    from torch import Tensor


class NoReconstruction(Reconstruction):
    """Nothing makes up for what was removed."""

    name: ClassVar[str] = "none"
    title: ClassVar[str] = "None"
    source: ClassVar[str] = ""
    summary: ClassVar[str] = "The weights that stay are not changed."
    place: ClassVar[int] = 0

    def solve(self, problem: LayerProblem, found: MaskedWeight) -> Tensor:
        return maths.zeros.zeroed(problem.weight, found.pruned)
