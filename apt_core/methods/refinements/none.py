"""The mask as it was found."""

from __future__ import annotations

from typing import ClassVar

from apt_core.methods.component import Refinement
from apt_core.methods.problem import LayerProblem, MaskedWeight


class NoRefinement(Refinement):
    """Leave the mask alone."""

    name: ClassVar[str] = "none"
    title: ClassVar[str] = "None"
    source: ClassVar[str] = ""
    summary: ClassVar[str] = "The mask stays as it was found."
    place: ClassVar[int] = 0

    def refine(self, problem: LayerProblem, found: MaskedWeight) -> MaskedWeight:
        return found
