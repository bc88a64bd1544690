"""Runs done in calls of limited time, each of which goes on where the last one ended; the process is another's.

Between two calls a run waits in the queue; how long it may take counts its calls together. A pruning is left between
two blocks, a training between two steps; other kinds of job have to end within one call, and say so when they do not.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Literal

from apt_core import events as ev
from apt_core.base import words
from apt_core.base.errors import TooLong
from apt_core.base.policy import HostPolicy
from apt_core.execute import Context, Executor
from apt_core.execute.kept import KEPT_BY_PRUNING, KEPT_BY_TRAINING, PRUNING
from apt_core.jobs import Job
from apt_core.runs import keeping, liveness, processes, worker
from apt_core.runs.beginnings import may_begin_again
from apt_core.runs.store import Store

Outcome = Literal["paused", "finished", "failed", "cancelled", "not waiting"]
_RESERVE_SECONDS = 3.0  # to write down what there is
_AGAIN = "The call that worked on this run ended before any state was kept; the run begins again."
_ON = "The run goes on in another call, from the state that its training had kept."


def goes_on(folder: Path) -> bool:
    """Whether a run has something that another call can go on from. folder: of the run."""
    return any((folder / kept).exists() for kept in (KEPT_BY_PRUNING, KEPT_BY_TRAINING))


def do_call(store: Store, run_id: str, seconds: float, executor: Executor, policy: HostPolicy) -> Outcome:
    """Work on a run that waits, for about so many seconds; what comes of it is in the store when this returns."""
    if not claim(store, run_id):
        return "not waiting"
    deadline = _Deadline(seconds)
    folder = store.folder(run_id)
    begun = time.monotonic() - liveness.seconds_at_work(folder)
    over = liveness.show_life(folder, before=time.monotonic() - begun)
    begin, done = _beginning(store, run_id, folder), _quiet_until_new(executor, folder)
    stop = _Stop(store, run_id, deadline)
    last_word = worker.work(store, run_id, done, stop, policy, begin, deadline.is_near)
    over()
    if stop.out_of_time:
        further = goes_on(folder) and may_begin_again(store, run_id)
        last_word = ev.Paused(done=0, total=0) if further else _too_long(seconds)
    if isinstance(last_word, ev.Paused):
        liveness.keep_count(folder, time.monotonic() - begun)
    return _settle(store, run_id, last_word)


def claim(store: Store, run_id: str) -> bool:
    """True for the one caller that gets a run that waits."""
    with store.index.write() as rows:
        row = rows.get(run_id)
        if row is None or row.status != "queued":
            return False
        rows.update(run_id, status="running", pid=os.getpid(), pid_created=processes.birth(os.getpid()))
        return True


def _settle(store: Store, run_id: str, last_word: ev.Event) -> Outcome:
    """Write the last word, and free the run of this process, which may well live on. An ended run has no worker then,
    so that the next look at the queue ends it in the index, with whatever follows for its study."""
    if isinstance(last_word, ev.Paused):
        if last_word.total:
            store.append(run_id, last_word)
        if _waits(store, run_id):
            return "paused"
        last_word = ev.Cancelled()
    assert isinstance(last_word, ev.Finished | ev.Failed | ev.Cancelled)
    if not isinstance(last_word, ev.Finished):
        keeping.remove_checkpoints(store.folder(run_id))
    shutil.rmtree(store.folder(run_id) / PRUNING, ignore_errors=True)
    liveness.remove_sign(store.folder(run_id))
    store.append(run_id, last_word)
    with store.index.write() as rows:
        rows.update(run_id, pid=None, pid_created=None)
    return last_word.kind


def _waits(store: Store, run_id: str) -> bool:
    """Put a run back into the queue; False where it was asked to stop meanwhile."""
    with store.index.write() as rows:
        row = rows.get(run_id)
        if row is None or row.cancel_requested_at is not None:
            return False
        rows.update(run_id, status="queued", pid=None, pid_created=None)
        return True


def _beginning(store: Store, run_id: str, folder: Path) -> Iterable[ev.Event]:
    """What is written down before the work: that it begins, that it begins again, nothing where it goes on."""
    begun = any(isinstance(stamped.event, ev.Started) for stamped in store.events_since(run_id))
    if not begun:
        return worker.beginning(store, run_id)
    if (folder / KEPT_BY_PRUNING).exists():
        return []
    return [ev.Restarted(message=_ON if (folder / KEPT_BY_TRAINING).exists() else _AGAIN)]


def _quiet_until_new(executor: Executor, folder: Path) -> Executor:
    """The same, without saying again what the calls before have said."""
    if not (folder / KEPT_BY_PRUNING).exists():
        return executor

    def do(job: Job, context: Context) -> Generator[ev.Event, None, None]:
        said_before = True
        with contextlib.closing(executor(job, context)) as events:
            for event in events:
                said_before = said_before and not isinstance(event, ev.Resumed)
                if not said_before or isinstance(event, ev.Progress | ev.Used):
                    yield event

    return do


class _Deadline:
    """When a call has to be over, and whether that is before another block is done."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._at = clock() + seconds
        self._last: float | None = None
        self._longest = 0.0

    def is_near(self) -> bool:
        """To be asked after each block: whether the next one, should it take as long as the longest so far, and half
        as long again, would end too late."""
        now = self._clock()
        if self._last is not None:
            self._longest = max(self._longest, now - self._last)
        self._last = now
        return now + 1.5 * self._longest + _RESERVE_SECONDS > self._at

    def is_over(self) -> bool:
        return self._clock() + _RESERVE_SECONDS / 2 > self._at


class _Stop:
    """Asked for in the index, or because the call is over."""

    def __init__(self, store: Store, run_id: str, deadline: _Deadline):
        self.out_of_time = False
        self._store, self._run_id, self._deadline = store, run_id, deadline

    def check(self) -> None:
        if self._store.cancel_requested(self._run_id):
            raise worker.Cancel
        if self._deadline.is_over():
            self.out_of_time = True
            raise worker.Cancel

    @contextlib.contextmanager
    def interrupts(self) -> Iterator[None]:
        yield


def _too_long(seconds: float) -> ev.Failed:
    return ev.Failed(
        reason=TooLong.kind,
        message=f"The run did not reach a point from which it can resume within {words.duration(seconds)}, the time "
        "of one call here; choose a smaller model, less text or a faster method.",
    )
