"""Models of one origin read the same prompt and write in lock step, with common random numbers.

At every step one uniform number is drawn and every model picks its token with it, by the inverse of its cumulative
distribution over one order of the tokens, that of the vocabulary. Where two models give the same distribution they
write the same token, whatever the number; so a difference between the texts comes from the models, not from luck.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import zip_longest
from time import perf_counter
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from apt_core.base.errors import BadText
from apt_core.events import Progress, Subject
from apt_core.events.asking import OtherAnswer
from apt_core.measure import chat_template
from apt_core.measure.decoding import Decoder
from apt_core.measure.questions import Answered, Question, Step
from apt_core.measure.writing import Writing


def duel(
    dense: nn.Module, pruned: nn.Module, tokenizer, question: Question, others: Sequence[nn.Module] = ()
) -> Generator[Step | Answered, None, None]:
    """Yield one Step for a token of every model and finally Answered. Closing the iterator stops it.

    Raises BadText when the prompt is longer than the model can read.
    """
    start = perf_counter()
    prompt = prompt_ids(tokenizer, question)
    check_fits(dense, prompt, question.max_tokens)
    uniform = torch.Generator().manual_seed(question.seed)
    sides = [_Side(model, tokenizer, prompt) for model in (dense, pruned, *others)]
    parted: list[int | None] = [None] * len(sides)
    for index in range(question.max_tokens):
        draw = float(torch.rand((), generator=uniform, dtype=torch.float64))
        texts = [side.step(question, draw) for side in sides]
        yield _step(index, texts, sides[0].last)
        for place, side in enumerate(sides):
            if parted[place] is None and side.last != sides[0].last:
                parted[place] = index
        if all(side.ended for side in sides):
            break
    rest = [side.writing.flush() for side in sides]
    if any(rest):
        yield _step(index + 1, rest, None)
    yield _answered(sides, parted, perf_counter() - start)


class Alone(NamedTuple):
    """What one model wrote, by itself."""

    text: str
    tokens: tuple[int, ...]
    seconds: float


def alone(
    model: nn.Module, tokenizer, question: Question, subject: Subject
) -> Generator[Progress, None, Alone]:
    """One side of a `duel`, which is the same whoever writes beside it.

    Raises BadText when the prompt is longer than the model can read.
    """
    start = perf_counter()
    prompt = prompt_ids(tokenizer, question)
    check_fits(model, prompt, question.max_tokens)
    uniform = torch.Generator().manual_seed(question.seed)
    side = _Side(model, tokenizer, prompt)
    for index in range(question.max_tokens):
        side.step(question, float(torch.rand((), generator=uniform, dtype=torch.float64)))
        yield Progress(
            stage="answer", subject=subject, done=index + 1, total=question.max_tokens, detail="tokens"
        )
        if side.ended:
            break
    side.writing.flush()
    return Alone(side.writing.text, tuple(side.writing.tokens), perf_counter() - start)


def beside(dense: Alone, pruned: Alone) -> Answered:
    """What a `duel` of the two models says at its end."""
    pairs = enumerate(zip_longest(dense.tokens, pruned.tokens))
    return Answered(
        dense=dense.text,
        pruned=pruned.text,
        dense_tokens=len(dense.tokens),
        pruned_tokens=len(pruned.tokens),
        first_divergence=next((index for index, (one, other) in pairs if one != other), None),
        seconds=dense.seconds + pruned.seconds,
        dense_ids=dense.tokens,
    )


def check_fits(model: nn.Module, prompt: Sequence[int], more: int) -> None:
    """Raise BadText where the model cannot read the prompt and so many tokens more."""
    room = getattr(cast(Any, model.config).get_text_config(), "max_position_embeddings", None)
    if room and len(prompt) + more > room:
        raise BadText(
            f"The prompt has {len(prompt)} tokens; this model reads at most {room} together with the answer. "
            "Shorten the prompt or ask for fewer tokens."
        )


def prompt_ids(tokenizer, question: Question) -> list[int]:
    """The prompt as token ids, through the chat template where the model has one and it is wanted."""
    if question.chat and getattr(tokenizer, "chat_template", None):
        text = chat_template.rendered(tokenizer, question.prompt)
        ids = tokenizer(text, add_special_tokens=False).input_ids
    else:
        ids = tokenizer(question.prompt).input_ids
    if not ids:
        raise BadText("The prompt holds no text this model can read; type at least one word.")
    return ids


def pick(logits: Tensor, temperature: float, top_p: float, draw: float) -> int:
    """The token that the uniform number `draw` in [0, 1) falls on.

        min { t : F(t) > draw F(V) },  F(t) = sum of p(s) over the tokens s <= t of the vocabulary of size V

    With top_p the least likely tokens beyond that mass (ties by index) have p = 0 and the rest is rescaled.
    temperature 0 is the most likely token whatever the draw.
    """
    if temperature == 0:
        return int(logits.argmax())
    probabilities = (logits / temperature).softmax(dim=-1).double()
    if top_p < 1:
        probabilities = _nucleus(probabilities, top_p)
    cumulative = probabilities.cumsum(dim=0)
    position = int((cumulative <= draw * cumulative[-1]).sum())
    return min(position, int(probabilities.nonzero()[-1]))  # rounding must not reach a token of probability 0


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """The same with 0 for all but the fewest likeliest tokens that reach `top_p` together."""
    ordered, order = probabilities.sort(descending=True, stable=True)
    kept = int((ordered.cumsum(dim=0) < top_p).sum()) + 1
    out = torch.zeros_like(probabilities)
    out[order[:kept]] = ordered[:kept]
    return out


class _Side:
    """One model and what it has written."""

    def __init__(self, model: nn.Module, tokenizer, prompt: list[int]):
        self.ended = False
        self.writing = Writing(tokenizer)
        self._decoder = Decoder(model)
        self._unread = torch.tensor(prompt)
        self._end = _end_tokens(model, tokenizer)

    @property
    def last(self) -> int | None:
        """The newest token; None once this side has ended."""
        return self.writing.tokens[-1] if self.writing.tokens and not self.ended else None

    def step(self, question: Question, draw: float) -> str | None:
        """Write one token; the text it makes certain ('' while a character is incomplete), None at the end."""
        if self.ended:
            return None
        token = pick(self._decoder.next_logits(self._unread), question.temperature, question.top_p, draw)
        if token in self._end:
            self.ended = True
            return self.writing.flush()
        self._unread = torch.tensor([token])
        return self.writing.add(token)


def _step(index: int, texts: Sequence[str | None], dense_id: int | None) -> Step:
    dense, pruned, *others = texts
    return Step(index=index, dense=dense, pruned=pruned, others=tuple(others), dense_id=dense_id)


def _answered(sides: Sequence[_Side], parted: Sequence[int | None], seconds: float) -> Answered:
    dense, pruned, *others = (side.writing for side in sides)
    return Answered(
        dense=dense.text,
        pruned=pruned.text,
        dense_tokens=len(dense.tokens),
        pruned_tokens=len(pruned.tokens),
        first_divergence=parted[1],
        seconds=seconds,
        others=tuple(
            OtherAnswer(text=one.text, tokens=len(one.tokens), first_divergence=at)
            for one, at in zip(others, parted[2:], strict=True)
        ),
        dense_ids=tuple(dense.tokens),
    )


def _end_tokens(model: nn.Module, tokenizer) -> set[int]:
    found: set[int] = set()
    for value in (cast(Any, model.generation_config).eos_token_id, tokenizer.eos_token_id):
        found |= set(value if isinstance(value, list) else [] if value is None else [value])
    return found
