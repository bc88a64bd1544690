"""Whether a worker is alive: it shows a sign of life every few seconds, and its time is limited.

The sign is a small file that a thread of the worker writes again and again, so a long product or download is not
mistaken for a process that was stopped or hangs. It says for how many seconds the worker has been running, so a process
that looks after it later (the app was restarted) goes on counting. Silence is measured by this process's own monotonic
clock, from when it saw the last sign, and the worker counts by its own: a clock that is set back or forth ends no run.
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

from pydantic import ValidationError

from apt_core import events as ev
from apt_core.base import words
from apt_core.base.errors import BadInput, OutOfMemory, Silent, TooLong
from apt_core.base.policy import HostPolicy
from apt_core.base.values import Frozen
from apt_core.estimate.free import all_memory
from apt_core.runs import processes
from apt_core.runs.quotas import Quotas

SIGN = "alive"  # a file of the run's folder
_VERDICT = "overdue.json"  # a file of the run's folder: why its worker was asked to end
_EVERY_SECONDS = 5.0
_PUBLIC_MEMORY = 0.8  # of the machine, that a process may hold
_PUBLIC_TOGETHER = 0.9  # of the machine, that all processes of the page may hold


class RunLimits(Frozen):
    """silent_seconds: without a sign of life. run_seconds: from the start of a run; None for as long as it takes.
    memory_bytes: that a worker may hold; None for as much as the machine has. together_bytes: that all processes of the
    page may hold; the same. models_bytes: that downloaded models may take once a run has ended; None for as much as
    there is room for."""

    silent_seconds: float = 300.0
    run_seconds: float | None = None
    memory_bytes: int | None = None
    together_bytes: int | None = None
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
        host, and nine tenths for all processes together); without limit on a person's own machine. machine_bytes: where
        runs work; None for here. Raises BadInput.
        """
        gigabytes, together = _number("APT_RUN_GB", environment, "gigabytes"), None
        if policy.public:
            machine_bytes = machine_bytes or all_memory()
            gigabytes = gigabytes or _PUBLIC_MEMORY * machine_bytes / 1e9
            together = int(_PUBLIC_TOGETHER * machine_bytes)
        return cls(
            run_seconds=60 * quotas.run_minutes if quotas.run_minutes else None,
            memory_bytes=int(1e9 * gigabytes) if gigabytes else None,
            together_bytes=together,
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


def show_life(folder: Path, every: float = _EVERY_SECONDS, before: float = 0.0) -> Callable[[], None]:
    """Write the sign of a run's folder in a thread until what is returned is called. before: seconds for which others
    have been at work on the run."""
    over, begun = threading.Event(), time.monotonic() - before

    def write() -> None:
        while not over.is_set():
            _write_sign(folder, time.monotonic() - begun)
            over.wait(every)

    writing = threading.Thread(target=write, name="sign of life", daemon=True)
    writing.start()

    def end() -> None:
        over.set()
        writing.join(timeout=every)
        remove_sign(folder)

    return end


def keep_count(folder: Path, seconds: float) -> None:
    """Leave the sign of a run that waits to be gone on with, with the seconds for which it has been at work so far."""
    _write_sign(folder, seconds)


def remove_sign(folder: Path) -> None:
    """Nobody is at work on a run any more, and nobody goes on with it."""
    with contextlib.suppress(OSError):
        (folder / SIGN).unlink()


def _write_sign(folder: Path, seconds: float) -> None:
    """In place and always as long, so that whoever is killed in between leaves a number."""
    with contextlib.suppress(OSError):  # a full disk, a deleted run: silence says it
        sign = os.open(folder / SIGN, os.O_WRONLY | os.O_CREAT, 0o644)
        with os.fdopen(sign, "wb", buffering=0) as file:
            file.write(b"%015.2f" % seconds)


def too_silent(limits: RunLimits, seconds: float) -> str:
    """What is said of a run that has shown no sign of life for so long, empty where it may be as silent."""
    if seconds <= limits.silent_seconds:
        return ""
    return (
        f"The run gave no sign of life for {words.duration(limits.silent_seconds)} and was ended; its "
        "process was stopped from outside, or hangs. Start it again."
    )


def too_much_memory(limits: RunLimits, held: int, left: int | None = None) -> str:
    """What is said of a run that holds so many bytes, empty where it may. left: by what else is at work."""
    most = limits.memory_bytes
    if most is not None and held > most:
        return (
            f"The run held {words.size(held)} of memory and was ended: {words.size(most)} is the most that a run may "
            "hold here; choose a smaller model or fewer or shorter windows."
        )
    if left is not None and held > left:
        return (
            f"The run held {words.size(held)} of memory and was ended: the page and the runs that began before it "
            f"leave it {words.size(left)} here; start it again when those have ended, or choose a smaller model."
        )
    return ""


class _Heard(NamedTuple):
    signs: tuple[int, ...]
    since: float  # monotonic: when they changed last
    begun: float  # monotonic: when the worker began, also where this process did not see it


class Liveness:
    """What this process knows of the workers that it watches."""

    def __init__(self, limits: RunLimits, clock: Callable[[], float] = time.monotonic):
        self._limits = limits
        self._clock = clock
        self._heard: dict[str, _Heard] = {}
        self._verdicts: dict[str, ev.Failed] = {}

    def overdue(
        self, run_id: str, folder: Path, pid: int | None = None, left: int | None = None
    ) -> ev.Failed | None:
        """Why this worker has to be ended now; the same answer from then on. pid: whose memory counts; left: bytes of
        it that others leave."""
        if run_id in self._verdicts:
            return self._verdicts[run_id]
        now, signs = self._clock(), _signs_of(folder)
        heard = self._heard.get(run_id)
        if heard is None or heard.signs != signs:
            begun = min(heard.begun if heard else now, now - seconds_at_work(folder))
            heard = self._heard[run_id] = _Heard(signs, now, begun)
        verdict = self._judge(now - heard.since, now - heard.begun) or self._judge_memory(pid, left)
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
            return ev.Failed(reason=TooLong.kind, message=message)
        if said := too_silent(self._limits, silent):
            return ev.Failed(reason=Silent.kind, message=said)
        return None

    def _judge_memory(self, pid: int | None, left: int | None) -> ev.Failed | None:
        if pid is None or (self._limits.memory_bytes is None and left is None):
            return None
        said = too_much_memory(self._limits, processes.memory_of(pid), left)
        return ev.Failed(reason=OutOfMemory.kind, message=said) if said else None

    def attend(self, working: Collection[str]) -> None:
        """Only these runs are at work: of one that waits between two calls its waiting counts for nothing, and what its
        calls have taken stands in its sign."""
        self._heard = {run_id: heard for run_id, heard in self._heard.items() if run_id in working}

    def verdict(self, run_id: str, folder: Path) -> ev.Failed | None:
        """What `overdue` has said of this run, here or in another process, if anything."""
        return self._verdicts.get(run_id) or verdict_in(folder)

    def forget(self, run_id: str, folder: Path) -> None:
        """The worker is gone; one that was killed has left its sign."""
        for name in (SIGN, _VERDICT):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
        self._heard.pop(run_id, None)
        self._verdicts.pop(run_id, None)


def write_verdict(folder: Path, verdict: ev.Failed) -> None:
    """Tell the worker why it is asked to end: its last word is this then, and not that somebody stopped it."""
    partial = folder / f"{_VERDICT}.part"
    with contextlib.suppress(OSError):  # a full disk, a deleted run: it says that it was stopped
        partial.write_text(verdict.model_dump_json(), encoding="utf-8")
        os.replace(partial, folder / _VERDICT)


def verdict_in(folder: Path) -> ev.Failed | None:
    """Why the worker of this run was asked to end; None where it was not."""
    try:
        return ev.Failed.model_validate_json((folder / _VERDICT).read_bytes())
    except (OSError, ValidationError):
        return None


def seconds_at_work(folder: Path) -> float:
    """As whoever is or was at work on a run last said it; 0 where nothing can be read."""
    try:
        return float((folder / SIGN).read_text(encoding="ascii")[:20])
    except (OSError, ValueError):  # not there, or caught half written
        return 0.0


def _signs_of(folder: Path) -> tuple[int, ...]:
    """Whatever changes while a worker works; 0 for what is not there."""
    return tuple(changed(folder / name) for name in (SIGN, "events.jsonl", "worker.log"))


def changed(file: Path) -> int:
    """When a file was touched last, in nanoseconds; 0 where it is not there."""
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return 0
