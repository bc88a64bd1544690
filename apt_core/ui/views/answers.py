"""What models answered, side by side: streaming, then compared. All model text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from apt_core.base.words import duration, shortened
from apt_core.events.asking import Side, is_cut
from apt_core.measure.questions import Answered, Question
from apt_core.ui.views.diff import Piece, common_beginning, marked, parting, pieces
from apt_core.ui.views.html import Markup, join


class Head(NamedTuple):
    """Over a column. kind: dense or pruned, which is its colour, or unnamed."""

    kind: str
    title: str
    spoken: str  # for a screen reader


PAIR = (
    Head("dense", "Dense", "Answer of the dense model"),
    Head("pruned", "Pruned", "Answer of the pruned model"),
)

UNNAMED = (Head("unnamed", "A", "Answer A"), Head("unnamed", "B", "Answer B"))


def heads_of(names: Sequence[str]) -> tuple[Head, ...]:
    """names: of the pruned models. One alone is just 'Pruned'."""
    if len(names) < 2:
        return PAIR
    return (PAIR[0], *(Head("pruned", name, f"Answer of {name}") for name in names))


class Duel:
    """What has been said so far on every side. Grows by `add`; knows where each parts from the first."""

    def __init__(self, sides: int = 2) -> None:
        self.texts = [""] * sides
        self.steps = 0
        # Of each side length of the text it shared with the first when their tokens first differed.
        self.parted: list[int | None] = [None] * sides

    def add(self, *texts: str | None) -> None:
        first = texts[0]
        self.texts = [before + (text or "") for before, text in zip(self.texts, texts, strict=True)]
        for place, text in enumerate(texts):
            if self.parted[place] is None and text != first:
                self.parted[place] = common_beginning(self.texts[0], self.texts[place])
        self.steps += 1


def streaming(duel: Duel, heads: Sequence[Head] = PAIR, question: Question | None = None) -> Markup:
    """While words arrive: a sign where the answers part, nothing else beside the text."""
    first = duel.texts[0]
    parts = [
        None if at is None else parting(first, text) for at, text in zip(duel.parted, duel.texts, strict=True)
    ]
    if len(parts) == 2:
        parts[0] = parts[1]  # of more than two the first is what the others part from
    said = [marked([Piece(text, False)], at) for text, at in zip(duel.texts, parts, strict=True)]
    return _columns(heads, said, [""] * len(said), question, busy=True)


def compared(answered: Answered, heads: Sequence[Head] = PAIR, question: Question | None = None) -> Markup:
    """When all are done: where they part, and the few words that differ of answers that stay close."""
    first, *others = answered.sides
    said = [_against(first, side) for side in others]
    dense = said[0][0] if len(others) == 1 else marked([Piece(first.text, False)], None)
    notes = [_note(side, answered, question) for side in answered.sides]
    return _columns(heads, [dense, *(pruned for _, pruned in said)], notes, question)


def swapped(answered: Answered) -> Answered:
    """The two answers in the other order, for columns that do not say whose they are."""
    changed = {
        "dense": answered.pruned,
        "pruned": answered.dense,
        "dense_tokens": answered.pruned_tokens,
        "pruned_tokens": answered.dense_tokens,
    }
    return answered.model_copy(update=changed)


def _against(first: Side, side: Side) -> tuple[Markup, Markup]:
    """Both texts, marked where they differ from one another."""
    parted = None if side.first_divergence is None else parting(first.text, side.text)
    left, right = pieces(first.text, side.text)
    return marked(left, parted), marked(right, parted)


def _note(side: Side, answered: Answered, question: Question | None) -> str:
    how = "stopped" if answered.stopped else "cut at the limit" if question and is_cut(side, question) else ""
    return f"{side.tokens} tokens{f', {how}' if how else ''}"


def empty(note: str, heads: Sequence[Head] = PAIR) -> Markup:
    """Before anybody asked: every column, saying what will be there."""
    quiet = Markup('<span class="quiet">{}</span>')
    said = [quiet.format(note or "–"), *(quiet.format("–") for _ in heads[1:])]
    return _columns(heads, said, [""] * len(heads), None)


def settings_line(question: Question) -> str:
    """'Temperature 0.7 · top-p 0.95 · seed 0 · at most 96 tokens'."""
    drawn = f"Temperature {question.temperature:g} · top-p {question.top_p:g}"
    how = "Greedy (temperature 0)" if question.temperature == 0 else drawn
    return f"{how} · seed {question.seed} · at most {question.max_tokens} tokens"


def finish_line(answered: Answered, heads: Sequence[Head] = PAIR) -> str:
    """What happened, in one sentence under the columns."""
    end = "Stopped" if answered.stopped else "Done"
    return f"{end} after {duration(answered.seconds)}; {_parted(answered, heads)}."


def _parted(answered: Answered, heads: Sequence[Head]) -> str:
    others = answered.sides[1:]
    if all(side.first_divergence is None for side in others):
        return "both models said the same" if len(others) == 1 else "all models said the same"
    if len(others) == 1:
        return f"first difference at token {(others[0].first_divergence or 0) + 1}"
    said = [
        f"{head.title} says the same as the first"
        if side.first_divergence is None
        else f"{head.title}: first difference at token {side.first_divergence + 1}"
        for head, side in zip(heads[1:], others, strict=True)
    ]
    return "; ".join(said)


def _columns(
    heads: Sequence[Head],
    said: Sequence[Markup],
    notes: Sequence[str],
    question: Question | None,
    busy: bool = False,
) -> Markup:
    columns = join(
        Markup(
            '<section class="{}" aria-label="{}"><h3>{} <small>{}</small></h3><div class="said">{}</div></section>'
        ).format(head.kind, head.spoken, head.title, note, text)
        for head, note, text in zip(heads, notes, said, strict=True)
    )
    return Markup('{}<div class="duel" data-sides="{}" aria-busy="{}">{}</div>').format(
        _asked(question), len(said), "true" if busy else "false", columns
    )


def _asked(question: Question | None) -> Markup:
    """Which prompt these answer; the script of the page says when another one is in the box."""
    if question is None:
        return Markup("")
    return Markup(
        '<p class="asked-prompt" data-prompt="{}"><strong hidden>An older prompt. </strong>'
        "<span>Answers to: {}</span></p>"
    ).format(question.prompt, shortened(question.prompt))
