"""Measure the perplexity of a model on any number of texts."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from apt_core.base.words import file_title
from apt_core.jobs.base import Job, Step


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

    @property
    def labels(self) -> tuple[str, str]:
        texts = self.evaluation
        return self.title, file_title(texts[0].text) if len(texts) == 1 else f"{len(texts)} texts"
