"""How much memory a process that answers questions may hold, watched from outside as that of a run's worker is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from apt_core.base import words
from apt_core.events import Failed
from apt_core.runs import processes

_EVERY_SECONDS = 0.5


def watch(pid: int, most: int | None, alive: Callable[[], bool], end: Callable[[Failed], object]) -> None:
    """Call `end` with the sentence for whoever asks, once the process and its children hold more than `most` bytes.

    Looks in a thread of its own while the process is `alive`; not at all where there is no limit.
    """
    if most is None:
        return

    def look() -> None:
        while alive():
            if (held := processes.memory_of(pid)) > most:
                end(_too_much(held, most))
                return
            time.sleep(_EVERY_SECONDS)

    threading.Thread(target=look, name="memory", daemon=True).start()


def _too_much(held: int, most: int) -> Failed:
    message = (
        f"The process that holds the models took {words.size(held)} of memory and was ended: {words.size(most)} is the "
        "most that it may hold here; ask about a smaller model, or with a shorter prompt."
    )
    return Failed(reason="out_of_memory", message=message)
