"""Several prompts put to the same models: what is asked, and every answer, as one record. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from apt_core.base.errors import BadInput
from apt_core.base.limits import PROMPT_CHARACTERS, PROMPTS_AT_ONCE
from apt_core.base.values import Frozen
from apt_core.events.asking import is_cut
from apt_core.measure.questions import Answered, Question


class ModelAnswer(Frozen):
    """What one model wrote to one prompt. cut: at the limit of tokens. first_divergence: as in `questions.Side`."""

    model: str
    text: str
    tokens: int
    cut: bool
    first_divergence: int | None


class PromptRow(Frozen):
    """One prompt with the answers of all models; `error` in their place where it could not be answered."""

    prompt: str
    answers: tuple[ModelAnswer, ...] = ()
    stopped: bool = False
    error: str = ""


class AnswerSet(Frozen):
    """Every prompt that was put to these models, with the settings of all of them.

    runs: whose pruned models answered. models: their names, the dense one first. asked: how many prompts there were;
    fewer rows where it was stopped.
    """

    version: Literal[1] = 1
    runs: tuple[str, ...]
    models: tuple[str, ...]
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    chat: bool
    asked: int
    stopped: bool = False
    rows: tuple[PromptRow, ...] = Field(default=())

    @classmethod
    def of(cls, runs: Sequence[str], models: Sequence[str], question: Question, asked: int) -> AnswerSet:
        """No prompt has been answered yet. question: its settings count for all prompts."""
        settings = question.model_dump(exclude={"prompt"})
        return cls(runs=tuple(runs), models=tuple(models), asked=asked, **settings)

    def with_row(self, row: PromptRow) -> AnswerSet:
        return self.model_copy(update={"rows": (*self.rows, row)})

    def row(self, question: Question, answered: Answered) -> PromptRow:
        """The answers to one question of this set."""
        answers = tuple(
            ModelAnswer(
                model=model,
                text=side.text,
                tokens=side.tokens,
                cut=is_cut(side, question) and not answered.stopped,
                first_divergence=side.first_divergence,
            )
            for model, side in zip(self.models, answered.sides, strict=True)
        )
        return PromptRow(prompt=question.prompt, answers=answers, stopped=answered.stopped)


def prompts_in(text: str, most: int = PROMPTS_AT_ONCE) -> tuple[str, ...]:
    """The prompts of a text, one a line, empty lines left out. Raises BadInput with one sentence."""
    found: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        prompt = line.strip()
        if len(prompt) > PROMPT_CHARACTERS:
            raise BadInput(
                f"The prompt in line {number} has {len(prompt):,} characters; use at most {PROMPT_CHARACTERS:,}."
            )
        found += [prompt] if prompt else []
    if not found:
        raise BadInput("There is no prompt; write one on each line.")
    if len(found) > most:
        raise BadInput(f"There are {len(found):,} prompts; at most {most} can be asked at once.")
    return tuple(found)
