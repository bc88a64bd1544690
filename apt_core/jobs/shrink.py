"""Make a model physically smaller: whole blocks, heads or channels go, and both models are measured."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_serializer, field_validator

from apt_core.base.errors import BadPattern
from apt_core.base.patterns import Unstructured
from apt_core.jobs.base import PRUNING_STEPS, Job, Name, Step, Windows
from apt_core.jobs.by_name import by_name
from apt_core.jobs.facts import method_facts, name_parts
from apt_core.jobs.parts import Answering, Calibration, Evaluation, WindowSeed
from apt_core.methods import STRUCTURED, StructuredMethod, make_structured


class Shrink(Job):
    """Everything that decides the result. pattern: the share of the blocks' weights that goes, rounded to whole
    structures."""

    title: ClassVar[str] = "Shrink"
    done: ClassVar[str] = "pruned"
    subjects: ClassVar[tuple[str, ...]] = ("dense", "pruned")
    steps: ClassVar[tuple[Step, ...]] = PRUNING_STEPS

    reshapes: ClassVar[bool] = True

    kind: Literal["shrink"] = "shrink"
    schema_version: int = Field(default=1, ge=1, json_schema_extra={"control": "hidden"})
    method: StructuredMethod = Field(title="Method", json_schema_extra={"control": "structured"})
    pattern: Unstructured = Field(
        default=Unstructured(sparsity=0.25), title="Share", json_schema_extra={"control": "share"}
    )
    calibration: Calibration = Calibration()
    seed: WindowSeed = 0
    answers: Answering = True

    @field_validator("method", mode="before")
    @classmethod
    def _method_from_registry(cls, value: Any, info: ValidationInfo) -> Any:
        """{"name": "depth", "criterion": "last"} -> Depth(criterion="last")."""
        if isinstance(value, str):
            return make_structured(value)
        if isinstance(value, dict):
            return by_name(value, info, make_structured, STRUCTURED, default="")
        return value

    @field_validator("pattern", mode="before")
    @classmethod
    def _no_groups(cls, value: Any) -> Any:
        """A share alone: N:M says which single weights of a row go."""
        kind = value.get("kind", "unstructured") if isinstance(value, dict) else getattr(value, "kind", "")
        if kind != "unstructured":
            raise BadPattern(
                "N:M patterns keep single weights, and this method removes whole structures; give a sparsity such as "
                "0.25."
            )
        return value

    @field_serializer("method")
    def _method_with_name(self, method: StructuredMethod) -> dict[str, Any]:
        return method.model_dump()

    @property
    def labels(self) -> tuple[str, str]:
        return self.method.label, self.pattern.label

    @property
    def reads(self) -> tuple[Calibration | Evaluation, ...]:
        return (self.calibration,) if self.method.reads_text else self.evaluation

    @property
    def parts_of_name(self) -> tuple[str, ...]:
        return name_parts(self.method.name, self.pattern)

    def facts(self, windows: Windows) -> list[tuple[str, str]]:
        return method_facts(self.method, windows(self.calibration), self.seed)

    def request(self, name: Name) -> dict[str, Any]:
        read = self.calibration.model_dump() | {"text": name(self.calibration.text)}
        return {
            "method": self.method.name,
            "pattern": self.pattern.label,
            "options": self.method.settings(),
            "calibration": read if self.method.reads_text else None,
            **super().request(name),
            "seed": self.seed,
        }
