"""Asking models of one origin: what is asked of which, and what comes back, as values. No torch."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field, TypeAdapter

from apt_core.base.limits import ASKED_TOGETHER
from apt_core.base.model_bounds import UNBOUNDED, ModelBounds
from apt_core.base.values import Frozen
from apt_core.events import Failed, Progress
from apt_core.events.asking import Answered, Question
from apt_core.jobs import ModelRef


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
