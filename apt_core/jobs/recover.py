"""Recover a pruned model: train a part of it for some steps, with every zero kept, and measure it before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_serializer, field_validator

from apt_core.base.errors import BadInput
from apt_core.base.words import percent
from apt_core.jobs.base import Job, Name, Step, Windows
from apt_core.jobs.by_name import by_name
from apt_core.jobs.facts import going_on_facts
from apt_core.jobs.parts import Answering, Calibration, Evaluation, ModelRef, Training
from apt_core.methods.recovery.base import Recovery
from apt_core.methods.registry import RECOVERIES, make_recovery, recovery_of


class Recover(Job):
    """Everything that decides the result of a recovery. The model is what a run made: `run:<id>`."""

    title: ClassVar[str] = "Recover"
    done: ClassVar[str] = "recovered"
    called: ClassVar[str] = "recovery"
    subjects: ClassVar[tuple[str, ...]] = ("dense", "before", "recovered")
    steps: ClassVar[tuple[Step, ...]] = (
        Step(
            "Dense model",
            ("download", "convert", "load:dense", "evaluate:dense", "answer:dense", "measure:dense"),
        ),
        Step("Perplexity before", ("load", "evaluate:before")),
        Step("Train", ("train",)),
        Step("Perplexity after", ("save", "evaluate:recovered", "answer:recovered", "measure:pruned")),
    )

    kind: Literal["recover"] = "recover"
    method: Recovery = Field(title="Recovery", json_schema_extra={"control": "recovery"})
    training: Training = Training()
    optimiser_steps: int = Field(
        default=200,
        ge=1,
        le=1_000_000,
        title="Steps",
        description="of the optimiser; on two CPU cores 200 take minutes on SmolLM2 135M",
    )
    warm_up: float = Field(
        default=0.03,
        ge=0,
        le=0.5,
        title="Warm-up",
        description="share of the steps in which the learning rate rises; then it falls as a cosine",
    )
    clip: float = Field(
        default=1.0, gt=0, le=1000, title="Gradient clipping", description="largest norm of a step's gradient"
    )
    stop_when_flat: float = Field(
        default=0.0,
        ge=0,
        le=10,
        title="Stop when flat",
        description="stop once as many tokens again would lower the held-out loss by less than this, by the fitted "
        "power law; 0 never stops",
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**32 - 1,
        description="decides the order of the windows and what is drawn at the start",
    )
    answers: Answering = True
    resume: str | None = Field(
        default=None,
        max_length=100,
        description="the run whose last kept state this one goes on from",
        json_schema_extra={"control": "hidden"},
    )

    @field_validator("method", mode="before")
    @classmethod
    def _method_from_registry(cls, value: Any, info: ValidationInfo) -> Any:
        """{"name": "spp", "rank": 16} -> Spp(rank=16)."""
        if isinstance(value, dict):
            return by_name(value, info, make_recovery, RECOVERIES)
        return recovery_of(value)

    @field_serializer("method")
    def _method_with_name(self, method: Recovery) -> dict[str, Any]:
        return method.model_dump()

    @field_validator("model")
    @classmethod
    def _made_by_a_run(cls, value: ModelRef) -> ModelRef:
        if value.run is None:
            raise BadInput("A recovery goes on from what a run made; give the id of a finished run.")
        return value

    @property
    def labels(self) -> tuple[str, str]:
        return self.method.title, f"{self.optimiser_steps} step{'s' if self.optimiser_steps > 1 else ''}"

    @property
    def reads(self) -> tuple[Calibration | Evaluation, ...]:
        return (self.training,)

    @property
    def tokens_per_step(self) -> int:
        return self.training.batch * self.training.length

    def facts(self, windows: Windows) -> list[tuple[str, str]]:
        fields = type(self.method).model_fields
        options = ", ".join(f"{name} {getattr(self.method, name)}" for name in fields)
        steps = (
            f"{self.optimiser_steps} of {self.training.batch} × {self.training.length} tokens, AdamW, warm-up "
            f"{percent(self.warm_up)}, then a cosine, gradients clipped at {self.clip:g}"
        )
        return [
            ("method", f"{self.method.title} ({self.method.source})"),
            ("options", options),
            ("training text", windows(self.training)),
            ("steps", steps),
            ("seed", str(self.seed)),
            *going_on_facts(self.resume),
        ]

    @classmethod
    def bounds_reached(cls, state: Mapping[str, Any]) -> dict[str, Any]:
        step = int(state["step"])
        return {"optimiser_steps": step} if step else {}

    def request(self, name: Name) -> dict[str, Any]:
        return {
            "method": self.method.name,
            "options": {field: getattr(self.method, field) for field in type(self.method).model_fields},
            "training": self.training.model_dump() | {"text": name(self.training.text)},
            "optimiser_steps": self.optimiser_steps,
            "warm_up": self.warm_up,
            "clip": self.clip,
            "stop_when_flat": self.stop_when_flat,
            "resume": self.resume,
            **super().request(name),
            "seed": self.seed,
        }
