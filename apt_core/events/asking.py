"""A question to two models or more, and what each of them wrote. No torch."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field, field_validator

from apt_core.base.values import Frozen


class Question(Frozen):
    """One prompt for all models, decoded in lock step with the same uniform number per step."""

    prompt: str = Field(min_length=1, max_length=20_000)
    max_tokens: int = Field(default=96, ge=1, le=1024)
    temperature: float = Field(default=0.7, ge=0, le=2, description="0 takes the most likely token")
    top_p: float = Field(default=0.95, gt=0, le=1)
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    chat: bool = Field(default=True, description="use the model's chat template where it has one")


# What every run that makes a model asks it and the dense one.
STANDARD_QUESTION = Question(prompt="Why is the sky blue?", max_tokens=64)


class Side(NamedTuple):
    """What one model wrote. first_divergence: the step at which its token first differs from the dense model's."""

    text: str
    tokens: int
    first_divergence: int | None


class OtherAnswer(Frozen):
    """What a further pruned model wrote; fields as in `Side`."""

    text: str
    tokens: int
    first_divergence: int | None


class Answered(Frozen):
    """What the dense model and those made of it wrote to one question."""

    kind: Literal["answered"] = "answered"
    dense: str
    pruned: str
    dense_tokens: int
    pruned_tokens: int
    first_divergence: int | None  # index of the first step at which the two tokens differ
    seconds: float
    stopped: bool = False
    others: tuple[OtherAnswer, ...] = ()
    dense_ids: tuple[int, ...] = ()  # the tokens of the dense answer, which `Score` takes

    @property
    def sides(self) -> tuple[Side, ...]:
        """Every model's answer, the dense one first."""
        return (
            Side(self.dense, self.dense_tokens, None),
            Side(self.pruned, self.pruned_tokens, self.first_divergence),
            *(Side(one.text, one.tokens, one.first_divergence) for one in self.others),
        )


def is_cut(side: Side, question: Question) -> bool:
    """Whether this answer ended at the limit: one that ends earlier has a token less, its end token."""
    return side.tokens >= question.max_tokens


class Answers(Frozen):
    """A question that was asked of the dense model and of the one that the run made of it, and both answers.

    What further runs answered to the same question is dropped: it belongs to no single run.
    """

    kind: Literal["answers"] = "answers"
    question: Question
    answered: Answered

    @field_validator("answered")
    @classmethod
    def _of_the_pair(cls, answered: Answered) -> Answered:
        return answered.model_copy(update={"others": ()})
