"""Asking models of one origin: what is asked of which, and what comes back, as values. No torch."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

from pydantic import Field, TypeAdapter

from apt_core.base.limits import ASKED_TOGETHER
from apt_core.base.model_bounds import UNBOUNDED, ModelBounds
from apt_core.base.values import Frozen
from apt_core.events import Failed, Progress
from apt_core.jobs import ModelRef


class Question(Frozen):
    """One prompt for all models, decoded in lock step with the same uniform number per step."""

    prompt: str = Field(min_length=1, max_length=20_000)
    max_tokens: int = Field(default=96, ge=1, le=1024)
    temperature: float = Field(default=0.7, ge=0, le=2, description="0 takes the most likely token")
    top_p: float = Field(default=0.95, gt=0, le=1)
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    chat: bool = Field(default=True, description="use the model's chat template where it has one")


class Sides(Frozen):
    """The models of a question: the dense one by name (by folder when a run made it), the pruned ones by folder.

    bounds: how large the dense one may be where it is fetched again.
    """

    dense: ModelRef | Path
    pruned: tuple[Path, ...] = Field(min_length=1, max_length=ASKED_TOGETHER - 1)
    bounds: ModelBounds = UNBOUNDED


class Ask(Frozen):
    """One line to the reader: answer this question with these models."""

    kind: Literal["ask"] = "ask"
    sides: Sides
    question: Question


class Score(Frozen):
    """One line to the reader: how likely every model finds these tokens of the dense model's answer."""

    kind: Literal["score"] = "score"
    sides: Sides
    question: Question
    tokens: tuple[int, ...] = Field(min_length=1, max_length=1024)


class ReaderReady(Frozen):
    """All models of the question are in memory. seconds: 0 where they were there already."""

    kind: Literal["ready"] = "ready"
    seconds: float


class Step(Frozen):
    """One decoding step of every side; None once that side has ended. others: further pruned models, in their order."""

    kind: Literal["step"] = "step"
    index: int
    dense: str | None
    pruned: str | None
    others: tuple[str | None, ...] = ()
    dense_id: int | None = None  # the token that the dense model wrote; None once it has ended

    @property
    def texts(self) -> tuple[str | None, ...]:
        return (self.dense, self.pruned, *self.others)


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


class Scoring(Frozen):
    """Some of the tokens have been scored."""

    kind: Literal["scoring"] = "scoring"
    done: int
    total: int


class TokenGap(Frozen):
    """One token of the dense answer, given all before it. kl: KL(dense || pruned) of the two next-token
    distributions, in nats; both tuples have one number for every pruned model."""

    text: str  # what it adds to the answer, '' while a character is incomplete
    dense: float = Field(ge=0, le=1)
    pruned: tuple[float, ...]
    kl: tuple[float, ...]

    def gap(self, place: int) -> float:
        """Probability that this pruned model takes from the token; below 0 where it gives some."""
        return self.dense - self.pruned[place]


class Scored(Frozen):
    """The dense answer run through every model, token by token."""

    kind: Literal["scored"] = "scored"
    tokens: tuple[TokenGap, ...]
    seconds: float

    def mean_kl(self, place: int) -> float:
        """Nats a token."""
        return statistics.fmean(token.kl[place] for token in self.tokens)


Request = Annotated[Ask | Score, Field(discriminator="kind")]
request_adapter: TypeAdapter[Request] = TypeAdapter(cast(Any, Request))
LAST = (Answered, Scored, Failed)  # nothing follows one of these
# Progress: a model that is not here any more is being fetched.
Reply = Annotated[
    Progress | ReaderReady | Step | Answered | Scoring | Scored | Failed, Field(discriminator="kind")
]
reply_adapter: TypeAdapter[Reply] = TypeAdapter(cast(Any, Reply))
