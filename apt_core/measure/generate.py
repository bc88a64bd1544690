"""Dense and pruned read the same prompt and write in lock step, with common random numbers.

At every step one uniform number is drawn and both sides pick their token with it (inverse transform over
the tokens in order of probability), so a difference between the texts comes from the models, not from luck.
"""

from __future__ import annotations

from collections.abc import Generator
from time import perf_counter
from typing import Any, cast

import torch
from torch import Tensor, nn

from apt_core.base.errors import BadText
from apt_core.measure import chat_template
from apt_core.measure.decoding import Decoder
from apt_core.measure.questions import Answered, Question, Step


def duel(
    dense: nn.Module, pruned: nn.Module, tokenizer, question: Question
) -> Generator[Step | Answered, None, None]:
    """Yield one Step per token pair and finally Answered. Closing the iterator stops it.

    Raises BadText when the prompt is longer than the model can read.
    """
    start = perf_counter()
    prompt = prompt_ids(tokenizer, question)
    room = getattr(cast(Any, dense.config).get_text_config(), "max_position_embeddings", None)
    if room and len(prompt) + question.max_tokens > room:
        raise BadText(
            f"The prompt has {len(prompt)} tokens; this model reads at most {room} together with the answer. "
            "Shorten the prompt or ask for fewer tokens."
        )
    uniform = torch.Generator().manual_seed(question.seed)
    sides = [_Side(dense, tokenizer, prompt), _Side(pruned, tokenizer, prompt)]
    divergence = None
    for index in range(question.max_tokens):
        draw = float(torch.rand((), generator=uniform, dtype=torch.float64))
        texts = [side.step(question, draw) for side in sides]
        if divergence is None and sides[0].last != sides[1].last:
            divergence = index
        yield Step(index=index, dense=texts[0], pruned=texts[1])
        if all(side.ended for side in sides):
            break
    rest = [side.flush() for side in sides]
    if any(rest):
        yield Step(index=index + 1, dense=rest[0], pruned=rest[1])
    yield Answered(
        dense=sides[0].text,
        pruned=sides[1].text,
        dense_tokens=len(sides[0].tokens),
        pruned_tokens=len(sides[1].tokens),
        first_divergence=divergence,
        seconds=perf_counter() - start,
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

    Tokens lie in order of probability (ties by index); with top_p the tail beyond that mass is cut and the
    rest rescaled. temperature 0 is the most likely token whatever the draw.
    """
    if temperature == 0:
        return int(logits.argmax())
    probabilities, order = (logits / temperature).softmax(dim=-1).sort(descending=True, stable=True)
    cumulative = probabilities.double().cumsum(dim=0)
    kept = int((cumulative < top_p).sum()) + 1
    cumulative = cumulative[:kept]
    position = int((cumulative <= draw * cumulative[-1]).sum())
    return int(order[min(position, kept - 1)])


class _Side:
    """One model, what it has written, and the text that is already certain."""

    def __init__(self, model: nn.Module, tokenizer, prompt: list[int]):
        self.tokens: list[int] = []
        self.ended = False
        self.text = ""
        self._decoder = Decoder(model)
        self._tokenizer = tokenizer
        self._unread = torch.tensor(prompt)
        self._end = _end_tokens(model, tokenizer)

    @property
    def last(self) -> int | None:
        """The newest token; None once this side has ended."""
        return self.tokens[-1] if self.tokens and not self.ended else None

    def step(self, question: Question, draw: float) -> str | None:
        """Write one token; the text it makes certain ('' while a character is incomplete), None at the end."""
        if self.ended:
            return None
        token = pick(self._decoder.next_logits(self._unread), question.temperature, question.top_p, draw)
        if token in self._end:
            self.ended = True
            return self.flush()
        self.tokens.append(token)
        self._unread = torch.tensor([token])
        return self._advance(self._decoded())

    def flush(self) -> str | None:
        """What was held back."""
        return self._advance(self._decoded(), final=True) or None

    def _decoded(self) -> str:
        return self._tokenizer.decode(self.tokens, skip_special_tokens=True)

    def _advance(self, decoded: str, final: bool = False) -> str:
        # A replacement mark at the end is half a character: it waits for the token that completes it.
        certain = decoded if final else decoded.rstrip("\ufffd")
        if not certain.startswith(self.text):
            return ""
        new = certain[len(self.text) :]
        self.text = certain
        return new


def _end_tokens(model: nn.Module, tokenizer) -> set[int]:
    found: set[int] = set()
    for value in (cast(Any, model.generation_config).eos_token_id, tokenizer.eos_token_id):
        found |= set(value if isinstance(value, list) else [] if value is None else [value])
    return found
