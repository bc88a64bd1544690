"""Measure the perplexity of a model on any number of texts."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from apt_core.base.words import file_title
from apt_core.jobs.base import Job, Name, Step
from apt_core.jobs.parts import Rounding


class Evaluate(Job):
    """Everything that decides a perplexity: the model, the windows of each text, the precision."""

    title: ClassVar[str] = "Perplexity"
    done: ClassVar[str] = "measured"
    subjects: ClassVar[tuple[str, ...]] = ("model",)
    steps: ClassVar[tuple[Step, ...]] = (
        Step("Model", ("download", "convert", "load")),
        Step("Perplexity", ("evaluate",)),
    )

    kind: Literal["evaluate"] = "evaluate"
    schema_version: int = Field(default=1, ge=1, json_schema_extra={"control": "hidden"})
    rounding: Rounding = Rounding()

    @property
    def labels(self) -> tuple[str, str]:
        texts, bits = self.evaluation, self.rounding.number
        title = f"{self.title} at {bits} bits" if bits else self.title
        return title, file_title(texts[0].text) if len(texts) == 1 else f"{len(texts)} texts"

    def request(self, name: Name) -> dict[str, Any]:
        return super().request(name) | {
            "rounding": self.rounding.model_dump() if self.rounding.number else None
        }
