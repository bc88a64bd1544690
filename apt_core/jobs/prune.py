"""Prune a model layer by layer, and measure it before and after."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_serializer, field_validator, model_validator

from apt_core.base.patterns import Pattern, SemiStructured
from apt_core.jobs.base import PRUNING_STEPS, Job, Name, Step, Windows
from apt_core.jobs.by_name import by_name
from apt_core.jobs.facts import method_facts, name_parts
from apt_core.jobs.parts import Answering, Calibration, Evaluation, WindowSeed
from apt_core.jobs.schema import is_stored
from apt_core.methods import METHODS, Method, make_method


class Prune(Job):
    """Everything that decides the result of a pruning run."""

    title: ClassVar[str] = "Prune"
    done: ClassVar[str] = "pruned"
    subjects: ClassVar[tuple[str, ...]] = ("dense", "pruned")
    steps: ClassVar[tuple[Step, ...]] = PRUNING_STEPS

    kind: Literal["prune"] = "prune"
    schema_version: int = Field(default=2, ge=1, json_schema_extra={"control": "hidden"})
    method: Method = Field(title="Method", json_schema_extra={"control": "method"})
    pattern: Pattern = Field(
        default=SemiStructured(keep=2, of=4), title="Pattern", json_schema_extra={"control": "pattern"}
    )
    calibration: Calibration = Calibration()
    seed: WindowSeed = 0
    optional_layers: bool = Field(
        default=False,
        title="Optional layers",
        description="also prune what a family leaves dense by default: dt_proj of Mamba, Falcon Mamba and Jamba",
    )
    answers: Answering = True

    @field_validator("method", mode="before")
    @classmethod
    def _method_from_registry(cls, value: Any, info: ValidationInfo) -> Any:
        """{"name": "apt", "block_size": 128} -> Apt(block_size=128)."""
        if isinstance(value, str):
            return make_method(value)
        if isinstance(value, dict):
            return by_name(value, info, make_method, METHODS, default="apt")
        return value

    @model_validator(mode="after")
    def _mixed_where_layers_differ(self) -> Prune:
        mixed = isinstance(self.pattern, SemiStructured) and self.pattern.mixed
        if mixed and not self.method.allocation.varies(self.pattern):
            raise ValueError(
                f"{self.pattern.label} lets layers differ, which the allocation {self.method.allocation.name} does "
                "not; choose another, such as loss, owl or by-hand."
            )
        return self

    @model_validator(mode="after")
    def _allocated_where_layers_may_differ(self, info: ValidationInfo) -> Prune:
        """What was chosen has something to decide; what a named method brings along counts where it can."""
        chosen, own = self.method.allocation.name, METHODS[self.method.name]().allocation.name
        if is_stored(info) or self.pattern.by_layer or chosen in ("uniform", own):
            return self
        raise ValueError(
            f"{self.pattern.label} takes the same share of every layer, so the allocation {chosen} would decide "
            f"nothing; choose a sparsity, '{self.pattern.label} mixed', or the allocation uniform."
        )

    @field_serializer("method")
    def _method_with_name(self, method: Method) -> dict[str, Any]:
        return method.model_dump()

    @property
    def labels(self) -> tuple[str, str]:
        return self.method.label, self.pattern.label

    @property
    def reads(self) -> tuple[Calibration | Evaluation, ...]:
        return (self.calibration,)

    @property
    def parts_of_name(self) -> tuple[str, ...]:
        return name_parts(self.method.name, self.pattern)

    def facts(self, windows: Windows) -> list[tuple[str, str]]:
        return method_facts(self.method, windows(self.calibration), self.seed)

    @property
    def way(self) -> str:
        pattern = self.pattern.label if isinstance(self.pattern, SemiStructured) else "unstructured"
        return f"{self.method.label} {pattern}"

    @property
    def allocation_name(self) -> str | None:
        allocation = self.method.allocation
        return allocation.name if allocation.varies(self.pattern) else "uniform"

    @property
    def without_method(self) -> tuple[object, ...] | None:
        read = (self.calibration, self.seed, self.optional_layers)
        return (self.model, self.pattern, self.evaluation, *read, self.resources.dtype)

    @property
    def judged_by(self) -> tuple[object, ...] | None:
        return self.model, self.pattern, self.evaluation

    @property
    def shared_stages(self) -> dict[str, Hashable]:
        calibration = (self.calibration, self.seed, self.optional_layers)
        gradients = ((self.model, self.resources.dtype), calibration, self.method.target)
        return super().shared_stages | {"gradients": gradients}

    def request(self, name: Name) -> dict[str, Any]:
        asked = super().request(name)
        return {
            "method": self.method.name,
            "pattern": self.pattern.label,
            "options": self.method.model_dump(),
            "calibration": self.calibration.model_dump() | {"text": name(self.calibration.text)},
            **asked,
            "seed": self.seed,
        }
