"""Since when a condition holds, by a monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection


class Since:
    """Of runs, each known by its id. Not safe in threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._at: dict[tuple[str, str], float] = {}

    def seconds(self, run_id: str, what: str) -> float:
        """For how long `what` has been so of this run, counted from when it was first asked here."""
        now = self._clock()
        return now - self._at.setdefault((run_id, what), now)

    def over(self, run_id: str, what: str) -> None:
        """It is not so (any more)."""
        self._at.pop((run_id, what), None)

    def keep(self, run_ids: Collection[str]) -> None:
        """Forget all but these runs."""
        self._at = {key: at for key, at in self._at.items() if key[0] in run_ids}
