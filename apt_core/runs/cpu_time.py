"""How much processor time a run or a question may take. The kernel counts it, so it holds where nobody looks after the
process any more, such as a run whose page was closed."""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from apt_core.base import cpu, words
from apt_core.base.errors import BadInput, TooLong
from apt_core.base.lazy import lazy
from apt_core.base.policy import HostPolicy
from apt_core.runs.liveness import RunLimits
from apt_core.runs.quotas import Quotas

resource = lazy("resource")  # not on every system

T = TypeVar("T")
_TIDYING_SECONDS = 60.0  # of every core, after which a run that did not hear is killed


def allowed_seconds(policy: HostPolicy, environment: Mapping[str, str], folder: Path) -> float | None:
    """For one run, and for one question: the longest that a run may take here, on every core. None without a limit,
    and where the limits of this host cannot be read: whoever opens its page is told."""
    try:
        limits = RunLimits.of(policy, environment, Quotas.of(policy, environment, folder))
    except BadInput:
        return None
    return None if limits.run_seconds is None else limits.run_seconds * cpu.usable_cores()


def bound_run(seconds: float | None, reached: Callable[[str], object]) -> None:
    """Call `reached` with a sentence, in the main thread, once this process has taken so many seconds more of the
    processor. One that does not come to its main thread is killed by the kernel a while later."""
    if seconds is None:
        return
    said = (
        f"The run took {words.duration(seconds)} of processor time and was ended, the most that a run may take here; "
        "choose a smaller model, less text or a faster method."
    )
    _limit(seconds, lambda: reached(said), _TIDYING_SECONDS * cpu.usable_cores())


class Allowance:
    """Processor time for one question after another; None is no limit."""

    def __init__(self, seconds: float | None):
        self._seconds = seconds
        self._inside = False

    def through(self, replies: Iterator[T]) -> Iterator[T]:
        """The same replies; TooLong is raised within the one for which the time of this question is used up."""
        if self._seconds is not None:
            _limit(self._seconds, self._reached)
        while True:
            self._inside = True
            try:
                reply = next(replies)
            except StopIteration:
                return
            finally:
                self._inside = False
            yield reply

    def _reached(self) -> None:
        """Said again by the kernel for every further second, so it may be overheard between two replies."""
        if not self._inside:
            return
        self._inside = False  # what is raised must not be raised while it is said
        raise TooLong(
            f"The work on this question took {words.duration(self._seconds)} of processor time and was ended, the most "
            "that a question may take here; choose a smaller model or a shorter prompt."
        )


def _limit(seconds: float, reached: Callable[[], object], grace: float | None = None) -> None:
    """From now on. grace: seconds after which the kernel kills; only ever once in a process, which cannot take it
    back."""
    if sys.platform == "win32":
        return
    signal.signal(signal.SIGXCPU, lambda *_: reached())
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(time.process_time() + seconds)
    if grace is not None:
        hard = _least(hard, math.ceil(soft + grace))
    resource.setrlimit(resource.RLIMIT_CPU, (_least(hard, soft), hard))


def _least(limit: int, other: int) -> int:
    return other if limit == resource.RLIM_INFINITY else min(limit, other)
