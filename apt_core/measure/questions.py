"""Asking both models: the question and what comes back, as values. No torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from apt_core.base.values import Frozen
from apt_core.events import Failed


class Question(Frozen):
    """One prompt for both models, decoded in lock step with the same uniform number per step."""

    prompt: str = Field(min_length=1, max_length=20_000)
    max_tokens: int = Field(default=96, ge=1, le=1024)
    temperature: float = Field(default=0.7, ge=0, le=2, description="0 takes the most likely token")
    top_p: float = Field(default=0.95, gt=0, le=1)
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    chat: bool = Field(default=True, description="use the model's chat template where it has one")


class ReaderReady(Frozen):
    """Both models are in memory."""

    kind: Literal["ready"] = "ready"
    seconds: float


class Step(Frozen):
    """One decoding step of both sides; None once that side has ended."""

    kind: Literal["step"] = "step"
    index: int
    dense: str | None
    pruned: str | None


class Answered(Frozen):
    kind: Literal["answered"] = "answered"
    dense: str
    pruned: str
    dense_tokens: int
    pruned_tokens: int
    first_divergence: int | None  # index of the first step at which the two tokens differ
    seconds: float
    stopped: bool = False


Reply = Annotated[ReaderReady | Step | Answered | Failed, Field(discriminator="kind")]
reply_adapter: TypeAdapter[Reply] = TypeAdapter(Reply)
