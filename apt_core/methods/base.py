"""A method: allocation x target x mask x refinement x reconstruction, and the dampening they share."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from apt_core import maths
from apt_core.base.cost import Cost
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.allocations.uniform import Uniform
from apt_core.methods.component import (
    SLOTS,
    Allocation,
    Component,
    LayerKey,
    Mask,
    Named,
    Reconstruction,
    Refinement,
    Statistic,
    Target,
)
from apt_core.methods.masks.wanda import WandaMask
from apt_core.methods.problem import LayerProblem, MaskedWeight, Pruned
from apt_core.methods.reconstructions.none import NoReconstruction
from apt_core.methods.reconstructions.search import SearchResult
from apt_core.methods.refinements.none import NoRefinement
from apt_core.methods.registry import component_of
from apt_core.methods.targets.own_inputs import OwnInputs

if TYPE_CHECKING:  # the page reads the options without loading torch
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats

__all__ = [
    "Allocation",
    "Component",
    "Dampening",
    "LayerKey",
    "LayerProblem",
    "Mask",
    "MaskedWeight",
    "Method",
    "Pruned",
    "Reconstruction",
    "Refinement",
    "Statistic",
    "Target",
]

_LONGEST = 60  # characters of a setting in a label
# The pipeline retries with ten times as much where the statistics cannot be factorised.
Dampening = Annotated[
    float, Field(gt=0, le=1, title="Dampening", description="Added to the diagonal, as a share of its mean")
]


class Method(Named):
    """A composition; a published method is a subclass in `named/` that bears a name and sets other defaults.

    advice: whom it is for, in two or three words; lists show the methods that have one first, the others on demand.
    """

    advice: ClassVar[str] = ""

    allocation: Allocation = Field(
        default=Uniform(), title="Allocation", description="Which share of its weights each layer loses"
    )
    target: Target = Field(
        default=OwnInputs(), title="Target", description="Which outputs a pruned layer is to come close to"
    )
    mask: Mask = Field(default=WandaMask(), title="Mask", description="Which rule says what goes")
    refinement: Refinement = Field(
        default=NoRefinement(), title="Refinement", description="Whether the mask is improved afterwards"
    )
    reconstruction: Reconstruction = Field(
        default=NoReconstruction(), title="Reconstruction", description="How the weights that stay make up"
    )
    dampening: Dampening = 0.01

    @field_validator(*SLOTS, mode="before")
    @classmethod
    def _from_registry(cls, value: Any, info: ValidationInfo) -> Component:
        assert info.field_name is not None
        return component_of(info.field_name, value, cls.model_fields[info.field_name].default)

    @property
    def components(self) -> dict[str, Component]:
        """Slot -> component."""
        return {slot: getattr(self, slot) for slot in SLOTS}

    @property
    def needs(self) -> frozenset[Statistic]:
        """The statistics that its components read."""
        return frozenset().union(*(component.needs for component in self.components.values()))

    def needs_for(self, pattern: Unstructured | SemiStructured) -> frozenset[Statistic]:
        """What a run collects: an allocation that the pattern leaves nothing to decide needs nothing."""
        asked = self.components
        if not self.allocation.varies(pattern):
            del asked["allocation"]
        return frozenset().union(*(component.needs for component in asked.values()))

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """What its components take for one layer, shared factorisations (`Statistic.cost`) not included."""
        total = Cost()
        for component in self.components.values():
            total += component.cost(shape, tokens, pattern)
        return total

    def prune(
        self,
        weight: Tensor,
        stats: LayerStats,
        pattern: Unstructured | SemiStructured,
        in_attention: bool = True,
    ) -> Pruned:
        """Prune `weight` [out, in] with the statistics of its inputs; never writes to `weight`.

        in_attention: whether it is a projection of an attention, or of a model that has none.
        Raises NotPositiveDefinite when the statistics cannot be factorised, BadPattern when the
        pattern does not fit the width.
        """
        pattern.check_width(weight.shape[1], "this layer")
        aim = self.target.weight(weight.float(), stats, self.dampening)
        solve = partial(self._prune_live, in_attention=in_attention)
        solved, pruned = maths.live_inputs.prune_live_inputs(aim, stats, pattern, solve)
        return Pruned(solved, pruned, self.dampening)

    def _prune_live(
        self, aim: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured, in_attention: bool
    ) -> tuple[Tensor, Tensor]:
        """(weight, pruned) of a layer, or of the part of it whose inputs are not always zero."""
        outputs = self.target.outputs(stats)
        problem = LayerProblem(aim, stats, pattern, self.dampening, outputs, in_attention)
        found = self.refinement.refine(problem, self.mask.search(problem))
        solved = self.reconstruction.solve(problem, found)
        return maths.zeros.zeroed(solved, found.pruned), found.pruned

    @property
    def caveat(self) -> str:
        """What the user of this composition should know, in one sentence; empty for usual ones."""
        refined = not isinstance(self.refinement, NoRefinement)
        if not (refined and self.mask.moves_weights and isinstance(self.reconstruction, SearchResult)):
            return ""
        return (
            f"{self.refinement.title} changes the mask that {self.mask.title} has made up for, and nothing makes up "
            "for the new one; choose the reconstruction exact."
        )

    def settings(self) -> dict[str, Any]:
        """Every choice by the path that `--set` takes: {"mask": "apt", "mask.block_size": 256, "dampening": 0.01}."""
        found = {field: getattr(self, field) for field in type(self).model_fields if field not in SLOTS}
        for slot, component in self.components.items():
            found |= _settings(slot, component)
        return found

    def changes(self) -> dict[str, Any]:
        """The settings that differ from the composition of this name."""
        named = type(self)()
        usual = named.settings()
        for slot, own in self.components.items():
            default = getattr(named, slot)
            if own.name != default.name:
                usual |= _settings(slot, type(own)()) | {slot: default.name}
        return {path: value for path, value in self.settings().items() if value != usual[path]}

    @property
    def label(self) -> str:
        """What tables call it: the title, and what differs from the composition of this name."""
        changed = ", ".join(f"{path} {_short(value)}" for path, value in self.changes().items())
        return f"{self.title} ({changed})" if changed else self.title


def _short(value: Any) -> str:
    """As a table has room for it: a list of all layers is cut."""
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def _settings(slot: str, component: Component) -> dict[str, Any]:
    options = {f"{slot}.{option}": getattr(component, option) for option in type(component).model_fields}
    return {slot: component.name} | options
