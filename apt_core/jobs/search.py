"""Search: try many smaller models of one size, make the best of them, and measure it beside where the search began."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from apt_core.base.patterns import Unstructured
from apt_core.jobs.base import Job, Name, Step, Windows
from apt_core.jobs.facts import going_on_facts, method_facts, name_parts
from apt_core.jobs.parts import Answering, Calibration, Choosing, Evaluation
from apt_core.methods.searching.evolution import Evolution


class Search(Job):
    """Everything that decides the result of a search. Bounded by generations alone, it is the same for the same seed;
    where the minutes end it, by how fast the machine is too."""

    title: ClassVar[str] = "Search"
    done: ClassVar[str] = "pruned"
    called: ClassVar[str] = "search"
    subjects: ClassVar[tuple[str, ...]] = ("dense", "start", "pruned")
    steps: ClassVar[tuple[Step, ...]] = (
        Step("Model", ("download", "convert", "load")),
        Step("Dense perplexity", ("evaluate:dense", "measure:dense", "answer:dense")),
        Step("Search", ("calibrate", "search")),
        Step("Pruned perplexity", ("save", "evaluate:pruned", "answer:pruned", "measure:pruned")),
        Step("Perplexity of the start", ("evaluate:start",)),
    )

    reshapes: ClassVar[bool] = True

    kind: Literal["search"] = "search"
    schema_version: int = Field(default=2, ge=1, json_schema_extra={"control": "hidden"})
    keep: float = Field(
        default=0.8,
        ge=0.05,
        le=0.99,
        title="Fraction kept",
        description="of the weights in the blocks' linear layers; every candidate keeps so many",
    )
    minutes: float = Field(
        default=10,
        ge=0.05,
        le=1440,
        title="Minutes",
        description="of searching, at most; the rest comes on top",
    )
    generations: int = Field(
        default=100,
        ge=0,
        le=10_000,
        title="Generations",
        description="at most; 0 compares the first candidates alone",
    )
    evolution: Evolution = Field(default=Evolution(), title="Evolution")
    calibration: Choosing = Choosing()
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="decides every draw of the search")
    answers: Answering = True
    resume: str | None = Field(
        default=None,
        max_length=100,
        description="the run whose last kept population this one goes on from",
        json_schema_extra={"control": "hidden"},
    )

    @property
    def method(self) -> Evolution:
        return self.evolution

    @property
    def pattern(self) -> Unstructured:
        """The share that goes."""
        return Unstructured(sparsity=round(1 - self.keep, 6))

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
        return [
            *method_facts(self.method, windows(self.calibration), self.seed),
            ("candidates compared on", f"{self.calibration.held_out} more windows of that text, held out"),
            ("bounds of the search", f"{self.minutes:g} minutes, {self.generations} generations"),
            *going_on_facts(self.resume),
        ]

    @classmethod
    def bounds_reached(cls, state: Mapping[str, Any]) -> dict[str, Any]:
        return {"generations": int(state["generations"][-1]["number"])}

    def request(self, name: Name) -> dict[str, Any]:
        return {
            "method": self.method.name,
            "pattern": self.pattern.label,
            "keep": self.keep,
            "minutes": self.minutes,
            "generations": self.generations,
            "options": self.method.settings(),
            "calibration": self.calibration.model_dump() | {"text": name(self.calibration.text)},
            "resume": self.resume,
            **super().request(name),
            "seed": self.seed,
        }
