"""The weights that stay as the search for the mask left them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apt_core.methods.component import Reconstruction
from apt_core.methods.problem import LayerProblem, MaskedWeight

if TYPE_CHECKING:
    from torch import Tensor


class SearchResult(Reconstruction):
    """What the mask's own search has moved stays where it is; after a refinement what stays is the layer's own."""

    name: ClassVar[str] = "search"
    title: ClassVar[str] = "As searched"
    source: ClassVar[str] = ""
    summary: ClassVar[str] = "The weights that stay are as the search for the mask left them."
    place: ClassVar[int] = 10

    def solve(self, problem: LayerProblem, found: MaskedWeight) -> Tensor:
        return found.weight
