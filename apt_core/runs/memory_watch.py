"""How much memory a process that answers questions may hold, watched from outside as that of a run's worker is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from apt_core.base import words
from apt_core.base.errors import OutOfMemory
from apt_core.events import Failed
from apt_core.runs import processes

_EVERY_SECONDS = 0.5


def watch(
    pid: int,
    most: int | None,
    alive: Callable[[], bool],
    end: Callable[[Failed], object],
    left: Callable[[], int | None] = lambda: None,
) -> None:
    """Call `end` with the sentence for whoever asks, once the process and its children hold more than `most` bytes, or
    than are `left` beside others.

    Looks in a thread of its own while the process is `alive`; not at all where there is no limit.
    """
    if most is None and left() is None:
        return

    def look() -> None:
        while alive():
            if said := _too_much(processes.memory_of(pid), most, left()):
                end(Failed(reason=OutOfMemory.kind, message=said))
                return
            time.sleep(_EVERY_SECONDS)

    threading.Thread(target=look, name="memory", daemon=True).start()


def _too_much(held: int, most: int | None, left: int | None) -> str:
    """What is said of a process that holds so many bytes, empty where it may."""
    took = f"The process that holds the models took {words.size(held)} of memory and was ended"
    if most is not None and held > most:
        return (
            f"{took}: {words.size(most)} is the most that it may hold here; ask about a smaller model, or with a "
            "shorter prompt."
        )
    if left is not None and held > left:
        return (
            f"{took}: what else is at work here leaves it {words.size(left)}; ask again when the runs have ended, or "
            "about a smaller model."
        )
    return ""
