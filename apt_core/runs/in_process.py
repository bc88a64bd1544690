"""A stored run that the calling process does itself, such as a notebook: in the store as any other, its process never
signalled.

The launchers of other processes see a run at work and leave its process alone (`IN_PROCESS` lies in the run's folder):
that it is to stop is read from the index between two events. A process that dies leaves a run that failed.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from types import FrameType

from apt_core import events as ev
from apt_core import execute
from apt_core.base.errors import BadInput, PruneError
from apt_core.base.policy import HostPolicy
from apt_core.estimate import machine
from apt_core.execute import Context
from apt_core.jobs import Job
from apt_core.runs import keeping, liveness, worker
from apt_core.runs.executors.trace import traced
from apt_core.runs.folders import IN_PROCESS
from apt_core.runs.in_calls import claim
from apt_core.runs.store import Store
from apt_core.runs.worker_errors import failure_of

_ASK_EVERY_SECONDS = 0.2


def do(store: Store, run_id: str, policy: HostPolicy, on_event: Callable[[ev.Event], object]) -> bool:
    """Do a run that waits, to its end; False where another process has begun it already.

    on_event: gets every event of the work. Raises what the work raised, once that is in the run's log; the run of an
    interrupt (Ctrl-C, a notebook's Stop) is cancelled. A run that is cancelled from elsewhere ends without an error.
    """
    folder = store.folder(run_id)
    (folder / IN_PROCESS).touch()
    if not claim(store, run_id):
        (folder / IN_PROCESS).unlink(missing_ok=True)
        return False
    raised: list[BaseException] = []

    def work(job: Job, context: Context) -> Generator[ev.Event, None, None]:
        """The job's events; an error is kept as it is, and ends the run."""
        with contextlib.closing(traced(execute.run(job, context))) as events:
            try:
                for event in events:
                    on_event(event)
                    yield event
            except (Exception, KeyboardInterrupt) as error:
                raised.append(error)
                raise worker.Cancel from error

    ended = liveness.show_life(folder)
    with machine.in_use(), _Stop(store, run_id) as stop:
        begin = worker.beginning(store, run_id)
        last_word: ev.Event = worker.work(store, run_id, work, stop, policy, begin)
    ended()
    if stop.interrupted:
        raised, last_word = [KeyboardInterrupt()], ev.Cancelled()
    elif raised:
        last_word = failure_of(raised[0])
    _settle(store, run_id, last_word)
    if raised:
        raise raised[0]
    return True


def _settle(store: Store, run_id: str, last_word: ev.Event) -> None:
    """Write the last word and the end of the run, in one transaction, so that nobody finds one without the other."""
    if not isinstance(last_word, ev.Finished):
        keeping.remove_checkpoints(store.folder(run_id))
    with store.index.write() as rows:
        ended_at = store.append(run_id, last_word).at
        rows.update(run_id, status=last_word.kind, ended_at=ended_at, pid=None, pid_created=None)
    (store.folder(run_id) / IN_PROCESS).unlink(missing_ok=True)
    with contextlib.suppress(BadInput, OSError):  # weights that stay too long are no reason to fail
        store.keep_within(keeping.keep_bytes())


class _Stop:
    """Whether the run is to stop: asked for in the index, or by Ctrl-C, which breaks off the work at once and never
    the writing of the log. Outside of the main thread, which alone hears signals, the index is all there is."""

    def __init__(self, store: Store, run_id: str):
        self.interrupted = False
        self._store, self._run_id = store, run_id
        self._in_job = False
        self._asked_at = float("-inf")

    def __enter__(self) -> _Stop:
        self._before = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.interrupted = True
        if self._in_job:
            self._in_job = False  # a second one must not break the tidying up
            raise worker.Cancel

    def check(self) -> None:
        if self.interrupted:
            raise worker.Cancel
        if time.monotonic() - self._asked_at < _ASK_EVERY_SECONDS:
            return
        self._asked_at = time.monotonic()
        with contextlib.suppress(PruneError):  # held by another program just now: the next look will tell
            if self._store.cancel_requested(self._run_id):
                raise worker.Cancel

    @contextlib.contextmanager
    def interrupts(self) -> Iterator[None]:
        self._in_job = True
        try:
            if self.interrupted:
                raise worker.Cancel
            yield
        finally:
            self._in_job = False
