"""Blind reading in words: what a vote reveals, and what the votes so far say."""

from __future__ import annotations

from apt_core.base.words import percent
from apt_core.runs.votes import Choice, Tally
from apt_core.ui.views.answers import Head
from apt_core.ui.views.html import Markup

HONEST = "One person's reading of a few answers, not a benchmark."


def revealed(heads: tuple[Head, ...], flipped: bool) -> tuple[Head, ...]:
    """Over the columns after the vote: 'A: Dense', 'B: Pruned'."""
    shown = heads[::-1] if flipped else heads
    return tuple(
        head._replace(title=f"{letter}: {head.title}") for letter, head in zip("AB", shown, strict=True)
    )


def choice_sentence(choice: Choice, heads: tuple[Head, ...]) -> str:
    """heads: of the answers in their order, to which first and second belong."""
    if choice == "tie":
        return "You called it a tie."
    if choice == "bad":
        return "You found both bad."
    better = heads[0] if choice == "first" else heads[1]
    return f"You preferred: {better.title}."


def tally_block(tally: Tally, heads: tuple[Head, ...]) -> Markup:
    """Ties and 'both bad' are counted apart from the votes for one side."""
    return Markup('<div class="tally"><p>{}</p><p class="quiet">{}</p></div>').format(
        tally_sentence(tally, heads[0].title, heads[1].title), HONEST
    )


def tally_sentence(tally: Tally, first: str, second: str) -> str:
    counts = (
        f"Your blind votes on this pair: {first} better {tally.first}, {second} better {tally.second}, "
        f"ties {tally.ties}, both bad {tally.bad}."
    )
    low, high = tally.interval
    if low is None or high is None:
        return f"{counts} None of them decides, so there is no share to give."
    share = percent(tally.first / tally.decided)
    between = f"95% interval by Wilson from {percent(low)} to {percent(high)}"
    said = f"{counts} Of the {tally.decided} that decide, {first} won {share} ({between})"
    return f"{said}{': no difference that these votes can show.' if low <= 0.5 <= high else '.'}"
