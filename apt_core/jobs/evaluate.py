"""Measure a model: its perplexity on any number of texts, and how well it does zero-shot tasks."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from apt_core.base.errors import BadInput
from apt_core.base.words import file_title
from apt_core.jobs.base import Job, Name, Step
from apt_core.jobs.parts import Rounding, Tasks


class Evaluate(Job):
    """Everything that decides a perplexity: the model, the windows of each text, the precision."""

    title: ClassVar[str] = "Perplexity"
    done: ClassVar[str] = "measured"
    subjects: ClassVar[tuple[str, ...]] = ("model",)
    steps: ClassVar[tuple[Step, ...]] = (
        Step("Model", ("download", "convert", "load")),
        Step("Perplexity", ("evaluate", "tasks")),
    )

    kind: Literal["evaluate"] = "evaluate"
    schema_version: int = Field(default=1, ge=1, json_schema_extra={"control": "hidden"})
    rounding: Rounding = Rounding()
    tasks: Tasks = Tasks()

    @model_validator(mode="after")
    def _tasks_as_it_is(self) -> Evaluate:
        if self.tasks.listed and self.rounding.number:
            raise BadInput("Zero-shot tasks are done by the model as it is; leave its rounding out.")
        return self

    @property
    def labels(self) -> tuple[str, str]:
        texts, bits, tasks = self.evaluation, self.rounding.number, len(self.tasks.listed)
        title = f"{self.title} at {bits} bits" if bits else self.title
        title += f" and {tasks} task{'s' if tasks > 1 else ''}" if tasks else ""
        return title, file_title(texts[0].text) if len(texts) == 1 else f"{len(texts)} texts"

    def request(self, name: Name) -> dict[str, Any]:
        return super().request(name) | {
            "rounding": self.rounding.model_dump() if self.rounding.number else None,
            "asked_tasks": {"names": list(self.tasks.listed), "limit": self.tasks.limit}
            if self.tasks.listed
            else None,
        }
