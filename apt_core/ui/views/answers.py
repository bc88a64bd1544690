"""Both models' answers, side by side: streaming, then compared. All model text is escaped."""

from __future__ import annotations

from apt_core.base.words import duration
from apt_core.measure.questions import Answered, Question
from apt_core.ui.views.diff import Piece, common_beginning, marked, parting, pieces
from apt_core.ui.views.html import Markup


class Duel:
    """What has been said so far on both sides. Grows by `add`; knows where the answers part."""

    def __init__(self) -> None:
        self.dense = ""
        self.pruned = ""
        self.steps = 0
        self.parted: int | None = None  # length of the common text when the first token differed

    def add(self, dense: str | None, pruned: str | None) -> None:
        if self.parted is None and dense != pruned:
            self.parted = common_beginning(self.dense + (dense or ""), self.pruned + (pruned or ""))
        self.dense += dense or ""
        self.pruned += pruned or ""
        self.steps += 1


def streaming(duel: Duel) -> Markup:
    """While words arrive: a sign where the answers part, nothing else between the reader and the text."""
    at = None if duel.parted is None else parting(duel.dense, duel.pruned)
    dense, pruned = (marked([Piece(text, False)], at) for text in (duel.dense, duel.pruned))
    return _columns(dense, pruned, busy=True)


def compared(answered: Answered) -> Markup:
    """When both are done: where they part, and the few words that differ of answers that stay close."""
    dense, pruned = pieces(answered.dense, answered.pruned)
    parted = parting(answered.dense, answered.pruned) if answered.first_divergence is not None else None
    return _columns(
        marked(dense, parted),
        marked(pruned, parted),
        f"{answered.dense_tokens} tokens",
        f"{answered.pruned_tokens} tokens",
    )


def empty(note: str) -> Markup:
    """Before anybody asked: both columns, saying what will be there."""
    quiet = Markup('<span class="quiet">{}</span>').format(note)
    return _columns(quiet, Markup('<span class="quiet">–</span>'))


def settings_line(question: Question) -> str:
    """'Temperature 0.7 · top-p 0.95 · seed 0 · at most 96 tokens'."""
    drawn = f"Temperature {question.temperature:g} · top-p {question.top_p:g}"
    how = "Always the likeliest token" if question.temperature == 0 else drawn
    return f"{how} · seed {question.seed} · at most {question.max_tokens} tokens"


def finish_line(answered: Answered) -> str:
    """What happened, in one sentence under the columns."""
    end = "Stopped" if answered.stopped else "Done"
    if answered.first_divergence is None:
        parted = "both models said the same"
    else:
        parted = f"the answers part at token {answered.first_divergence + 1}"
    return f"{end} after {duration(answered.seconds)}; {parted}."


def _columns(
    dense: Markup, pruned: Markup, dense_note: str = "", pruned_note: str = "", busy: bool = False
) -> Markup:
    return Markup(
        '<div class="duel" aria-busy="{}">'
        '<section class="dense" aria-label="Answer of the dense model"><h3>Dense <small>{}</small></h3>'
        '<div class="said">{}</div></section>'
        '<section class="pruned" aria-label="Answer of the pruned model"><h3>Pruned <small>{}</small></h3>'
        '<div class="said">{}</div></section></div>'
    ).format("true" if busy else "false", dense_note, dense, pruned_note, pruned)
