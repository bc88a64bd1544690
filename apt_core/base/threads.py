"""As many threads of torch as there are cores to have now, and no more.

A team of OpenMP threads waits at every product for the thread that has no core: beside one busy core a run by a team of
two took four times as long as by one thread. Nothing tells a process beforehand how many cores it will have, so it
looks while it works: `following` compares the processor time of the whole machine with its own.

    4 cores, the machine used 2.9 cores since the last look, this process 1.8 of them
    others have 1.1, so 2.9 are free and the next steps take 3 threads (`_SLACK` for what runs now and then)

OMP_NUM_THREADS and `torch.set_num_threads` stay upper bounds; OMP_DYNAMIC=false keeps the number as it is. No torch is
loaded here.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import psutil

from apt_core.base import cpu

Step = TypeVar("Step")
Result = TypeVar("Result")
_LOOK_EVERY_SECONDS = 0.5
_SLACK = 0.35  # of a core that others may use without costing us a thread
_steady = 0  # how many parts of the work now need a number of threads that does not change


def following(steps: Generator[Step, None, Result]) -> Generator[Step, None, Result]:
    """The same steps and their result; between two of them, the threads of torch follow the free cores.

    Steps are taken by the thread that iterates, which is also the one whose number of threads is set. The number that
    torch had is set again at the end.
    """
    team = _Team()
    with contextlib.closing(steps):
        try:
            while True:
                team.follow()
                try:
                    step = next(steps)
                except StopIteration as end:
                    return end.value
                yield step
        finally:
            team.restore()


@contextlib.contextmanager
def steady() -> Iterator[None]:
    """Keep the number of threads in this block: what is timed in it is to be compared."""
    global _steady
    _steady += 1
    try:
        yield
    finally:
        _steady -= 1


def threads_for(free: float, most: int, last: int) -> int:
    """How many threads suit so many free cores. One more than `last` asks for a core that is free indeed.

    free: cores that nobody else uses. most: never more. last: how many there are.
    """
    down = int(free + _SLACK)
    up = int(free + _SLACK / 2)  # between the two bounds the number stays, so that it does not go to and fro
    return max(1, min(most, max(up, min(last, down))))


class FreeCores:
    """How many of the usable cores others have left free since the last look.

    busy: seconds of processor time of all usable cores together; own: of this process; both since any moment.
    """

    def __init__(
        self,
        busy: Callable[[], float] | None = None,
        own: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
        cores: int | None = None,
    ):
        self._busy, self._own, self._clock = busy or _busy_seconds, own or time.process_time, clock
        self._cores = cores or len(cpu.affinity())
        self._before = self._now()

    def since_last(self, at_least: float = _LOOK_EVERY_SECONDS) -> float | None:
        """None where the last look was less than `at_least` seconds ago, which then stays the last."""
        now = self._now() if self._clock() - self._before[0] >= at_least else None
        if now is None:
            return None
        seconds, busy, own = (one - other for one, other in zip(now, self._before, strict=True))
        self._before = now
        return self._cores - max(busy - own, 0.0) / seconds

    def _now(self) -> tuple[float, float, float]:
        return self._clock(), self._busy(), self._own()


class _Team:
    """The threads of torch in this process, from when it is loaded."""

    def __init__(self) -> None:
        self._most = 0  # torch is not here yet
        self._free = FreeCores()

    def follow(self) -> None:
        torch = sys.modules.get("torch")
        if torch is None or _steady or os.environ.get("OMP_DYNAMIC", "").lower() == "false":
            return
        if not self._most:
            self._had = torch.get_num_threads()
            self._most = min(self._had, cpu.usable_cores())
        if self._most > 1 and (free := self._free.since_last()) is not None:
            wanted = threads_for(free, self._most, torch.get_num_threads())
            if wanted != torch.get_num_threads():
                torch.set_num_threads(wanted)

    def restore(self) -> None:
        torch = sys.modules.get("torch")
        if torch is not None and self._most and torch.get_num_threads() != self._had:
            torch.set_num_threads(self._had)


def _busy_seconds() -> float:
    """Of the cores that this process may run on. What waits for a disk uses none."""
    times = psutil.cpu_times(percpu=True)
    mine = [times[core] for core in cpu.affinity() if core < len(times)]
    return sum(sum(one) - one.idle - getattr(one, "iowait", 0.0) - _in_guests(one) for one in mine)


def _in_guests(times: Any) -> float:
    """Linux counts the time of virtual machines twice, in `user` and `nice` too."""
    return getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
