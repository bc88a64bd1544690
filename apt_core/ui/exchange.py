"""What a tab has asked and been answered last. It stays on the server: no browser can change it, or look into it."""

from __future__ import annotations

from typing import NamedTuple

from apt_core.measure.questions import Answered, Question
from apt_core.ui.views.answers import Head


class Exchange(NamedTuple):
    """runs: those whose pruned models were asked beside the dense one. heads: over the columns, in their order."""

    question: Question
    answered: Answered
    runs: tuple[str, ...]
    heads: tuple[Head, ...]

    @property
    def can_be_scored(self) -> bool:
        """Whether there is a dense answer, known token by token."""
        return bool(self.answered.dense_ids)
