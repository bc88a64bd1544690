"""What every kind of job is: a frozen request that round-trips JSON and names its kind and its version."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from apt_core.base.errors import BadInput, one_sentence
from apt_core.base.values import Frozen
from apt_core.jobs.parts import Calibration, Evaluation, ModelRef, Resources

Name = Callable[[str], str]  # a name or path -> what may be said of it in public
Windows = Callable[[Calibration | Evaluation], str]  # '12 × 1024 of Wikipedia summaries'
Evaluations = Annotated[tuple[Evaluation, ...], Field(min_length=1, max_length=32)]
_RESOURCES = tuple(Resources.model_fields)


class Step(NamedTuple):
    """A part of a run: its title, and the stages of `Progress` that belong to it. 'evaluate:dense' is a stage with
    its subject."""

    title: str
    stages: tuple[str, ...]


PRUNING_STEPS = (
    Step("Model", ("download", "convert", "load")),
    Step("Dense perplexity", ("evaluate:dense", "measure:dense", "answer:dense")),
    Step("Prune", ("calibrate", "prune")),
    Step("Pruned perplexity", ("save", "evaluate:pruned", "answer:pruned", "measure:pruned")),
)


class Job(Frozen):
    """A run before it happens: everything that decides its result.

    A new kind is one file of this folder with one subclass whose field `kind` is a Literal with its name as the
    default, and one file of `execute/` that does it. A package outside names both as entry points
    (`apt_core.jobs`, `apt_core.execute`).
    """

    title: ClassVar[str]  # what is done, as a table names it: "Prune"
    done: ClassVar[str]  # what becomes of the model: "pruned"
    called: ClassVar[str] = "run"  # what a sentence calls a run of this kind
    reshapes: ClassVar[bool] = False  # whether what it makes has other shapes, and so no layers to compare
    subjects: ClassVar[tuple[str, ...]] = (
        "model",
    )  # that are measured, the last one made: ("dense", "pruned")
    steps: ClassVar[tuple[Step, ...]]  # what a run goes through, as the page lists it

    kind: str
    schema_version: int = Field(default=1, ge=1, json_schema_extra={"control": "hidden"})
    model: ModelRef = Field(title="Model", json_schema_extra={"control": "model"})
    evaluation: Evaluations = (Evaluation(),)
    resources: Resources = Resources()

    @model_validator(mode="before")
    @classmethod
    def _take_flat_fields(cls, value: Any) -> Any:
        """{"device": "cpu"} -> {"resources": {"device": "cpu"}}: flags and keywords are flat."""
        if not isinstance(value, dict) or not any(name in value for name in _RESOURCES):
            return value
        flat = {name: value[name] for name in _RESOURCES if name in value}
        nested = value.get("resources") or {}
        nested = nested.model_dump() if isinstance(nested, Resources) else nested
        rest = {name: given for name, given in value.items() if name not in _RESOURCES}
        return rest | {"resources": {**nested, **flat}}

    @field_validator("evaluation", mode="before")
    @classmethod
    def _take_one_evaluation(cls, value: Any) -> Any:
        """One evaluation counts as a tuple of one."""
        return (value,) if isinstance(value, dict | Evaluation) else value

    def changed(self, **fields: Any) -> Self:
        """The same job with other values of these fields, checked as a new one is. Raises BadInput with one
        sentence."""
        try:
            return type(self).model_validate(dict(self) | fields)
        except ValidationError as error:
            raise BadInput(one_sentence(error)) from error

    @property
    def labels(self) -> tuple[str, str]:
        """What tables write under Method and Pattern: ('APT', '2:4')."""
        return self.title, ""

    @property
    def label(self) -> str:
        """'APT · 2:4', without the model."""
        return " · ".join(filter(None, self.labels))

    @property
    def reads(self) -> tuple[Calibration | Evaluation, ...]:
        """The texts that its main work reads."""
        return self.evaluation

    @property
    def parts_of_name(self) -> tuple[str, ...]:
        """What files of a run are called by: ('apt', '2:4'), ('perplexity',)."""
        return (self.title,)

    @property
    def calibrated_on(self) -> Calibration | None:
        """The windows that statistics come from, in kinds that take some."""
        found = getattr(self, "calibration", None)
        return found if isinstance(found, Calibration) else None

    @property
    def drawn_by(self) -> int | None:
        """The seed, in kinds that draw something."""
        return getattr(self, "seed", None)

    @property
    def prunes_optional(self) -> bool:
        """Whether layers that a family leaves dense by default are pruned too."""
        return bool(getattr(self, "optional_layers", False))

    @property
    def way(self) -> str:
        """How it changes its model, without how much: 'Wanda unstructured', 'Wanda 2:4', 'Depth'."""
        return self.labels[0]

    @property
    def allocation_name(self) -> str | None:
        """What decides how much each layer loses, in kinds that leave that open."""
        return None

    @property
    def without_method(self) -> tuple[object, ...] | None:
        """What jobs that differ in their method alone have in common, None in kinds that are not compared so."""
        return None

    @property
    def judged_by(self) -> tuple[object, ...] | None:
        """What two jobs must have in common for the perplexities of what they make to compare, None in kinds for which
        they do not."""
        return None

    @property
    def asks_both(self) -> bool:
        """Whether the dense model and the one that is made answer the standard question, in kinds that make one."""
        return bool(getattr(self, "answers", False))

    @property
    def shared_stages(self) -> dict[str, Hashable]:
        """Stage -> what decides its result; runs of one study that agree in it do the stage once."""
        model = (self.model, self.resources.dtype)
        return {"convert": self.model, "dense_eval": (model, self.evaluation)}

    def facts(self, windows: Windows) -> list[tuple[str, str]]:
        """(name, value) of everything of this kind that decides the result, for a report. windows: names some."""
        return []

    @property
    def goes_on_from(self) -> str | None:
        """The run whose kept state this one starts with (`resume`, in kinds that have it); None for one that starts
        anew."""
        return getattr(self, "resume", None)

    @classmethod
    def keeps_state(cls) -> bool:
        """Whether a run of this kind that stopped can be resumed (`resume`)."""
        return "resume" in cls.model_fields

    @classmethod
    def bounds_reached(cls, state: Mapping[str, Any]) -> dict[str, Any]:
        """The fields with which a job that goes on from a kept state makes a model of it at once; none where nothing
        was reached yet."""
        return {}

    def request(self, name: Name) -> dict[str, Any]:
        """What was asked for, as the JSON of a run says it; names and paths pass through `name`."""
        texts = [one.model_dump() | {"text": name(one.text)} for one in self.evaluation]
        return {"evaluation": texts}


def name_of(kind: type[Job]) -> str:
    """'prune' of `Prune`."""
    return str(kind.model_fields["kind"].default)
