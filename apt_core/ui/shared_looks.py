"""Questions to the inspector that several visitors may wait for: none of them ends the work of the others."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from typing import Any

from apt_core.measure.inside.questions import Question


class SharedLooks:
    """Safe in threads."""

    def __init__(self) -> None:
        self.waiting: Counter[Question] = Counter()  # what is being looked at, and by how many
        self._lock = threading.Lock()

    def replies(self, inspector: Any, question: Question, asker: str) -> Generator[Any]:
        """The replies of the inspector, while it is counted how many visitors wait for them. asker: whose question it
        is."""
        with self._lock:
            self.waiting[question] += 1
        try:
            yield from inspector.ask(question, asker)
        finally:
            with self._lock:
                self.waiting[question] -= 1
                self.waiting += Counter()  # without those that nobody waits for

    def stop(self, inspector: Any, question: Question) -> None:
        """End the work on this question, unless somebody else waits for the answer too."""
        with self._lock:
            others = self.waiting[question] > 1
        if not others:
            inspector.stop(question)
