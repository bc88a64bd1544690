"""Whether a worker still works: it shows a sign of life every few seconds, and may not take for ever.

The sign is the time stamp of a small file that a thread of the worker touches, so a long product or download is not
mistaken for a process that was stopped or hangs. Silence is measured by this process's own monotonic clock, from when
it saw the last sign: a clock that is set back or forth ends no run.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from apt_core import events as ev
from apt_core.base import words
from apt_core.base.errors import BadInput, OutOfMemory, Silent
from apt_core.base.policy import HostPolicy
from apt_core.base.values import Frozen
from apt_core.runs import processes
from apt_core.runs.quotas import Quotas

SIGN = "alive"  # a file of the run's folder
_EVERY_SECONDS = 5.0
_PUBLIC_MEMORY = 0.8  # of the machine


class RunLimits(Frozen):
    """silent_seconds: without a sign of life. run_seconds: from the start of a run; None for as long as it takes.
    memory_bytes: that a worker may hold; None for as much as the machine has. models_bytes: that downloaded models may
    take once a run has ended; None for as much as there is room for."""

    silent_seconds: float = 300.0
    run_seconds: float | None = None
    memory_bytes: int | None = None
    models_bytes: int | None = None

    @classmethod
    def of(
        cls,
        policy: HostPolicy,
        environment: Mapping[str, str],
        quotas: Quotas,
        machine_bytes: int | None = None,
    ) -> RunLimits:
        """The minutes and gigabytes of the quotas, and APT_RUN_GB (four fifths of the machine's memory on a public
        host); without limit on a person's own machine. machine_bytes: where runs work; None for here. Raises BadInput.
        """
        gigabytes = _number("APT_RUN_GB", environment, "gigabytes")
        if policy.public:
            machine_bytes = machine_bytes or psutil.virtual_memory().total
            gigabytes = gigabytes or _PUBLIC_MEMORY * machine_bytes / 1e9
        return cls(
            run_seconds=60 * quotas.run_minutes if quotas.run_minutes else None,
            memory_bytes=int(1e9 * gigabytes) if gigabytes else None,
            models_bytes=None if quotas.models_gb is None else int(1e9 * quotas.models_gb),
        )


def _number(name: str, environment: Mapping[str, str], unit: str) -> float | None:
    text = environment.get(name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise BadInput(f"{name} is {text[:20]!r}; give a number of {unit} above 0, such as 60.")
    return value


def show_life(folder: Path, every: float = _EVERY_SECONDS) -> Callable[[], None]:
    """Touch the sign of a run's folder in a thread until what is returned is called."""
    over = threading.Event()

    def touch() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):  # a full disk, a deleted run: silence says it
                (folder / SIGN).touch()
            over.wait(every)

    threading.Thread(target=touch, name="sign of life", daemon=True).start()

    def end() -> None:
        over.set()
        with contextlib.suppress(OSError):
            (folder / SIGN).unlink()

    return end


def too_silent(limits: RunLimits, seconds: float) -> str:
    """What is said of a run that has shown no sign of life for so long, empty where it may be as silent."""
    if seconds <= limits.silent_seconds:
        return ""
    return (
        f"The run gave no sign of life for {words.duration(limits.silent_seconds)} and was ended; its "
        "process was stopped from outside, or hangs. Start it again."
    )


def too_much_memory(limits: RunLimits, held: int) -> str:
    """What is said of a run that holds so many bytes, empty where it may."""
    most = limits.memory_bytes
    if most is None or held <= most:
        return ""
    return (
        f"The run held {words.size(held)} of memory and was ended: {words.size(most)} is the most that a run may "
        "hold here; choose a smaller model or fewer or shorter windows."
    )


class _Heard(NamedTuple):
    signs: tuple[int, ...]
    since: float  # monotonic: when they changed last
    first: float  # monotonic: when this process first saw the run at work


class Liveness:
    """What this process has heard of the workers that it looks after."""

    def __init__(self, limits: RunLimits, clock: Callable[[], float] = time.monotonic):
        self._limits = limits
        self._clock = clock
        self._heard: dict[str, _Heard] = {}
        self._verdicts: dict[str, ev.Failed] = {}

    def overdue(self, run_id: str, folder: Path, pid: int | None = None) -> ev.Failed | None:
        """Why this worker has to be ended now; the same answer from then on. pid: whose memory counts."""
        if run_id in self._verdicts:
            return self._verdicts[run_id]
        now, signs = self._clock(), _signs_of(folder)
        heard = self._heard.get(run_id)
        if heard is None or heard.signs != signs:
            heard = self._heard[run_id] = _Heard(signs, now, heard.first if heard else now)
        verdict = self._judge(now - heard.since, now - heard.first) or self._judge_memory(pid)
        if verdict is not None:
            self._verdicts[run_id] = verdict
        return verdict

    def _judge(self, silent: float, running: float) -> ev.Failed | None:
        longest = self._limits.run_seconds
        if longest is not None and running > longest:
            message = (
                f"The run was ended after {words.duration(longest)}, the longest that a run may take here; choose a "
                "smaller model, less text or a faster method."
            )
            return ev.Failed(reason="too_long", message=message)
        if said := too_silent(self._limits, silent):
            return ev.Failed(reason=Silent.kind, message=said)
        return None

    def _judge_memory(self, pid: int | None) -> ev.Failed | None:
        if self._limits.memory_bytes is None or pid is None:
            return None
        said = too_much_memory(self._limits, processes.memory_of(pid))
        return ev.Failed(reason=OutOfMemory.kind, message=said) if said else None

    def attend(self, working: Collection[str]) -> None:
        """Only these runs are at work: of one that waits between two calls its waiting counts for nothing."""
        self._heard = {run_id: heard for run_id, heard in self._heard.items() if run_id in working}

    def verdict(self, run_id: str) -> ev.Failed | None:
        """What `overdue` has said of this run, if anything."""
        return self._verdicts.get(run_id)

    def forget(self, run_id: str, folder: Path) -> None:
        """The worker is gone; one that was killed has left its sign."""
        with contextlib.suppress(OSError):
            (folder / SIGN).unlink()
        self._heard.pop(run_id, None)
        self._verdicts.pop(run_id, None)


def _signs_of(folder: Path) -> tuple[int, ...]:
    """Whatever changes while a worker works; 0 for what is not there."""
    return tuple(changed(folder / name) for name in (SIGN, "events.jsonl", "worker.log"))


def changed(file: Path) -> int:
    """When a file was touched last, in nanoseconds; 0 where it is not there."""
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0
