"""What a method is composed of: frozen values whose fields are their options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import GetJsonSchemaHandler, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from apt_core import maths
from apt_core.base import cost
from apt_core.base.cost import Cost
from apt_core.base.lazy import lazy
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.base.values import Frozen

if TYPE_CHECKING:  # the page reads the options without loading torch
    from torch import Tensor

    from apt_core.maths.allocation import Cost as RemovalCost
    from apt_core.maths.hessian import LayerStats
    from apt_core.maths.output_metric import OutputMetric
    from apt_core.methods import registry
    from apt_core.methods.problem import LayerProblem, MaskedWeight
else:
    registry = lazy("apt_core.methods.registry")  # which reads this file

LayerKey = tuple[int, str]  # (block, layer name)


class Statistic(StrEnum):
    """What is collected before a layer is pruned; whatever no component needs is not collected."""

    GRAM = "gram"  # G = X X^T of the layer's inputs
    MOMENTS = "moments"  # its diagonal alone
    DENSE_STREAM = "dense-stream"  # (X_dense - X) X^T: how the inputs have drifted from the dense model's
    OUTPUT_GRADIENTS = (
        "output-gradients"  # mean of g g^T, g the gradient of the dense loss at the layer's output
    )
    DENSE_WEIGHTS = "dense-weights"  # every weight of the dense model, before the first is removed
    DENSE_INPUTS = "dense-inputs"  # sums of squares of every layer's inputs in the dense model
    SPECTRUM = "spectrum"  # eigenvalues and vectors of the dampened Gram matrix
    INVERSE_FACTOR = "inverse-factor"  # U with (dampened Gram)^-1 = U^T U

    def cost(self, width: int) -> Cost:
        """The factorisation of one input's statistics, which all layers that read this input share."""
        if self is Statistic.SPECTRUM:
            return cost.spectrum(width)
        return cost.inverse_factor(width) if self is Statistic.INVERSE_FACTOR else Cost()


class Named(Frozen):
    """A value that is found by its name and says it in JSON: {"name": "alps", option: value, ...}."""

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    summary: ClassVar[str]  # one plain sentence for somebody who has never pruned a model
    place: ClassVar[int] = 100  # in lists, the lowest first; equal ones by name

    @model_serializer
    def _with_name(self) -> dict[str, Any]:
        return {"name": self.name} | {field: getattr(self, field) for field in type(self).model_fields}

    @model_validator(mode="before")
    @classmethod
    def _without_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("name") == getattr(cls, "name", None):
            return {field: given for field, given in value.items() if field != "name"}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema of the options; that of a slot (`Mask`) is one of the schemas of what can be put there."""
        if hasattr(cls, "name"):
            return cls._described(handler.resolve_ref_schema(handler(core)))
        if members := cls.members():
            return {"oneOf": [kind._described(handler(kind.__pydantic_core_schema__)) for kind in members]}
        return handler(core)

    @classmethod
    def _described(cls, schema: JsonSchemaValue) -> JsonSchemaValue:
        properties = {"name": {"const": cls.name}} | schema.get("properties", {})
        return schema | {"title": cls.title, "description": cls.summary, "properties": properties}

    @classmethod
    def members(cls) -> list[type[Named]]:
        """What is registered for a slot; a value that is no slot has none."""
        return []


class Component(Named):
    """One of the five choices that make a method. A component is one file: its fields (with defaults, bounds,
    `title` and `description`) become the controls of the page, the `--set` options of the command line and the
    schema of the Python API; its needs and its cost are its own words.
    """

    slot: ClassVar[str]

    @property
    def needs(self) -> frozenset[Statistic]:
        """The statistics this component reads; may depend on its options."""
        return frozenset()

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """What it takes for one layer, shared factorisations (`Statistic.cost`) not included."""
        return Cost()

    @classmethod
    def members(cls) -> list[type[Named]]:
        return list(registry.COMPONENTS[cls.slot].values()) if hasattr(cls, "slot") else []


class SeenLayer(NamedTuple):
    """A layer of the dense model. weight: [out, in]; energies: [in] sums of squares of its inputs over the calibration
    tokens, for allocations that need DENSE_INPUTS."""

    weight: Tensor
    energies: Tensor | None = None


class DenseModel(NamedTuple):
    """What an allocation knows of the dense model, by (block, layer name).

    sizes: weights. costs: what removing each weight of a layer costs, for allocations that need OUTPUT_GRADIENTS.
    scores: what `Allocation.scores` said, for those that need DENSE_WEIGHTS or DENSE_INPUTS.
    """

    sizes: Mapping[LayerKey, int]
    costs: Mapping[LayerKey, RemovalCost] = MappingProxyType({})
    scores: Mapping[LayerKey, float] = MappingProxyType({})


class Allocation(Component):
    """Which share of its weights each layer loses."""

    slot: ClassVar[str] = "allocation"

    def varies(self, pattern: Unstructured | SemiStructured) -> bool:
        """Whether layers can lose different shares; an N:M pattern that is not mixed fixes the share of each."""
        return False

    def scores(self, block: Mapping[str, SeenLayer]) -> dict[str, float]:
        """One number for each layer of a block of the dense model, by the layer's name."""
        return {}

    def shares(
        self, dense: DenseModel, pattern: Unstructured | SemiStructured
    ) -> dict[LayerKey, float] | None:
        """The sparsity of each layer, None where all have the pattern's."""
        return None


def exact_shares(sizes: Mapping[LayerKey, int], counts: Sequence[int]) -> dict[LayerKey, float]:
    """Counts of removed weights, in the order of `sizes`, as the sparsity of each layer."""
    return {key: count / size for (key, size), count in zip(sizes.items(), counts, strict=True)}


class Target(Component):
    """Which outputs the pruned layer is to come close to, and how much each direction of them counts."""

    slot: ClassVar[str] = "target"

    def weight(self, weight: Tensor, stats: LayerStats, dampening: float) -> Tensor:
        """The weight [out, in] whose outputs are aimed at; `weight` itself is not written to."""
        return weight

    def condense(self, outer: Tensor) -> OutputMetric:
        """What is kept of the mean of g g^T [out, out] until the layer is pruned."""
        return maths.output_metric.layer_wise(len(outer), outer)

    def outputs(self, stats: LayerStats) -> OutputMetric | None:
        """How much each direction of the layer's output counts; None where all count alike."""
        return None


class Mask(Component):
    """Which weights go, and the weights that the search for them leaves behind."""

    slot: ClassVar[str] = "mask"
    compares: ClassVar[str] = (
        ""  # the function of `maths.saliency` that it compares, where it compares one as it is
    )
    moves_weights: ClassVar[bool] = (
        False  # does the search move the weights that stay, to make up for those that go?
    )
    closed_form: ClassVar[bool] = False  # do sets of weights go at once, with APT's closed-form compensation?

    def search(self, problem: LayerProblem) -> MaskedWeight:
        """Exactly as many removals as the pattern says. Raises NotPositiveDefinite when the statistics
        cannot be factorised."""
        raise NotImplementedError


class Refinement(Component):
    """The same number of removals per row and group, better placed. What stays begins at the layer's own weights: what
    the search moved was for another mask."""

    slot: ClassVar[str] = "refinement"

    def refine(self, problem: LayerProblem, found: MaskedWeight) -> MaskedWeight:
        raise NotImplementedError


class Reconstruction(Component):
    """The weights that stay, moved to make up for those that went."""

    slot: ClassVar[str] = "reconstruction"

    def solve(self, problem: LayerProblem, found: MaskedWeight) -> Tensor:
        """[out, in]; what it holds where a weight is removed does not matter."""
        raise NotImplementedError


SLOTS: dict[str, type[Component]] = {
    kind.slot: kind for kind in (Allocation, Target, Mask, Refinement, Reconstruction)
}
