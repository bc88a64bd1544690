"""What a tab has asked and been answered last. It stays on the server: no browser can change it, or look into it."""

from __future__ import annotations

from typing import NamedTuple

from apt_core.measure.questions import Answered, Question
from apt_core.ui.views.answers import Head


class Exchange(NamedTuple):
    """runs: those whose pruned models were asked, beside the dense one where `dense`. heads: of the answers, in their
    order. flipped: whether the two columns are shown in the other order."""

    question: Question
    answered: Answered
    runs: tuple[str, ...]
    heads: tuple[Head, ...]
    dense: bool = True
    flipped: bool = False

    @property
    def can_be_scored(self) -> bool:
        """Whether there is a dense answer, known token by token."""
        return self.dense and bool(self.answered.dense_ids)
