"""Two answers compared by words: where they part, and, of answers that stay close, what only one of them says."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import NamedTuple

from apt_core.ui.views.html import Markup, join

_FIRST_WORD = re.compile(r"\s*(\w+|[^\w\s]+)")
_LAST_WORD = re.compile(r"\w+$")
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_MAX_WORDS = 4000  # difflib is quadratic; beyond this only the common beginning is compared
_CLOSE = 0.8  # of the words: answers that share less have parted, and marks in the rest would be in the way of reading


class Piece(NamedTuple):
    text: str
    differs: bool


def common_beginning(dense: str, pruned: str) -> int:
    """How many characters both texts share from the start."""
    length = min(len(dense), len(pruned))
    return next((i for i in range(length) if dense[i] != pruned[i]), length)


def parting(dense: str, pruned: str) -> int:
    """The character at which the first word that differs begins; the shorter length where one continues the other."""
    same = common_beginning(dense, pruned)
    return min(_word_start(dense, same), _word_start(pruned, same))


def _word_start(text: str, place: int) -> int:
    """The beginning of the word that `place` is inside of; `place` itself between words and at the end."""
    inside = 0 < place < len(text) and text[place].isalnum() and text[place - 1].isalnum()
    return place - len(_LAST_WORD.search(text[:place]).group()) if inside else place  # type: ignore[union-attr]


def pieces(dense: str, pruned: str) -> tuple[list[Piece], list[Piece]]:
    """Both texts cut into equal and differing parts. Joining the pieces gives the texts back.

    Of answers that stay close every differing word is marked; of others only the word at which they part.
    """
    left, right = _WORDS.findall(dense), _WORDS.findall(pruned)
    short = max(len(left), len(right)) <= _MAX_WORDS
    matcher = SequenceMatcher(None, left, right, autojunk=False) if short else None
    if matcher is None or matcher.ratio() < _CLOSE:
        same = parting(dense, pruned)
        return _parted(dense, same), _parted(pruned, same)
    out: tuple[list[Piece], list[Piece]] = ([], [])
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        for side, words in zip(out, (left[i1:i2], right[j1:j2]), strict=True):
            if words:
                side.append(Piece("".join(words), tag != "equal"))
    return _without_gaps(out[0]), _without_gaps(out[1])


def _without_gaps(parts: list[Piece]) -> list[Piece]:
    """Neighbouring differences as one, also across a mere space: nobody reads word by word."""
    out: list[Piece] = []
    for place, part in enumerate(parts):
        bridge = (
            part.text.isspace()
            and 0 < place < len(parts) - 1
            and out[-1].differs
            and parts[place + 1].differs
        )
        differs = part.differs or bridge
        if out and out[-1].differs == differs:
            out[-1] = Piece(out[-1].text + part.text, differs)
        else:
            out.append(Piece(part.text, differs))
    return out


def marked(parts: list[Piece], diverges_at: int | None) -> Markup:
    """The pieces as HTML: differing words in <mark>, a small sign where the first token differs.

    diverges_at: character in this text at which the two answers part, None while they are one.
    """
    out, place = [], 0
    for part in parts:
        end = place + len(part.text)
        if diverges_at is not None and place <= diverges_at < end:
            cut = diverges_at - place
            out += [_words(part.text[:cut], part.differs), _SIGN, _words(part.text[cut:], part.differs)]
            diverges_at = None
        else:
            out.append(_words(part.text, part.differs))
        place = end
    if diverges_at is not None:
        out.append(_SIGN)  # this side ended where the other went on
    return join(out)


_SIGN = Markup(
    '<span class="parts" title="First difference"><span class="sr"> (first difference) </span></span>'
)


def _words(text: str, differs: bool) -> Markup:
    if not text:
        return Markup("")
    if not differs or text.isspace():
        return Markup("{}").format(text)
    return Markup("<mark>{}</mark>").format(text)


def _parted(text: str, same: int) -> list[Piece]:
    """The common beginning, the first word behind it, and the rest, which is there to be read."""
    rest = text[same:]
    first = _FIRST_WORD.match(rest)
    end = first.end() if first else 0
    parts = [Piece(text[:same], False), Piece(rest[:end], True), Piece(rest[end:], False)]
    return [part for part in parts if part.text]
