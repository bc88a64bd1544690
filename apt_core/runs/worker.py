"""The process that does one run: `python -m apt_core.runs.worker RUN_ID`, started by the launcher.

It takes the events of the job and appends them to the run's log. It stops when the index says that
the run is cancelled, or on SIGTERM; every exception becomes one `Failed` event here. An index that another program
holds is waited for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from apt_core import events as ev
from apt_core import execute
from apt_core.base import logs, words
from apt_core.base.errors import PruneError, TooLong
from apt_core.base.lazy import lazy
from apt_core.base.model_bounds import ModelBounds
from apt_core.base.policy import HostPolicy
from apt_core.estimate import machine
from apt_core.execute import Context
from apt_core.runs import cpu_time, keeping, liveness, processes, read_before, warm
from apt_core.runs.executors import executor_of
from apt_core.runs.quotas import Quotas
from apt_core.runs.store import Store
from apt_core.runs.throttle import Throttle
from apt_core.runs.worker_errors import failure_of

if TYPE_CHECKING:
    from apt_core.estimate import placing
else:  # loads torch, so only once the run is claimed and has begun
    placing = lazy("apt_core.estimate.placing")

_NICE = 5  # below the page, which must answer while both cores prune
_ASK_EVERY_SECONDS = 0.2
_EXIT_STATUS = {"finished": 0, "cancelled": 0, "failed": 1}
_NOT_CLAIMED = 3
_CLAIM_SECONDS = 60.0  # for which an index that is held is waited for
_CLAIM_AGAIN_SECONDS = 0.2


class Cancel(BaseException):
    """The run is to stop now. Not an Exception, so that no library swallows it."""


class Stopping(Protocol):
    """How a run hears that it is to stop."""

    def check(self) -> None:
        """Between two events; raises `Cancel` where it is."""

    def interrupts(self) -> AbstractContextManager[None]:
        """Around the work from one event to the next."""


class Stop:
    """Whether the run should stop: asked for in the index, by SIGTERM or SIGINT, or because its time is used up.

    A signal raises `Cancel` at once inside the job, and is only noted while we write, so that it
    never tears a line of the log.
    """

    def __init__(self, store: Store, run_id: str):
        self._store = store
        self._run_id = run_id
        self._signalled = False
        self._in_job = False
        self._asked_at = float("-inf")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._break_off()

    def _break_off(self) -> None:
        self._signalled = True
        if self._in_job:
            self._in_job = False  # a second signal must not break the tidying up
            raise Cancel

    def end_because(self, said: str) -> None:
        """End the run from within its own process; `said` is its last word."""
        liveness.write_verdict(self._store.folder(self._run_id), ev.Failed(reason=TooLong.kind, message=said))
        self._break_off()

    @contextlib.contextmanager
    def interrupts(self) -> Iterator[None]:
        """While this block runs, a signal breaks it off."""
        self._in_job = True
        try:
            if self._signalled:
                raise Cancel
            yield
        finally:
            self._in_job = False

    def check(self) -> None:
        """Raise Cancel when asked to stop; looks into the index a few times a second at most."""
        if not self._signalled and time.monotonic() - self._asked_at < _ASK_EVERY_SECONDS:
            return
        self._asked_at = time.monotonic()
        if self._signalled or self._asked_in_index():
            raise Cancel

    def _asked_in_index(self) -> bool:
        try:
            return self._store.cancel_requested(self._run_id)
        except PruneError:  # held by another program just now: the next look will tell
            return False


def main(run_id: str, executor: execute.Executor | None = None, spared: float | None = None) -> int:
    """Do the run; returns the exit status. `executor` does the job, by default as APT_EXECUTOR says.

    spared: of a copy of the warm process, which lowers its priority itself: seconds that importing would have taken.
    """
    store, policy = Store(), HostPolicy.from_environment()
    try:
        claimed = claim_in_time(store, run_id, _CLAIM_SECONDS)
    except PruneError as error:
        return _could_not_begin(store, run_id, error)
    if not claimed:
        print(f"Run {run_id} is not waiting for this worker; nothing was done.", file=sys.stderr)
        return _NOT_CLAIMED
    stop = Stop(store, run_id)
    if spared is None:
        _lower_priority()
    cpu_time.bound_run(cpu_time.allowed_seconds(policy, os.environ, store.root), stop.end_because)
    ended = liveness.show_life(store.folder(run_id))
    with machine.in_use():
        last_word = work(store, run_id, executor, stop, policy, beginning(store, run_id))
    ended()
    if isinstance(last_word, ev.Finished) and spared is not None:
        last_word = last_word.model_copy(update={"spared": last_word.spared | {ev.LIBRARIES: spared}})
    if not isinstance(last_word, ev.Finished):
        keeping.remove_checkpoints(store.folder(run_id))
    store.append(run_id, last_word)
    return _EXIT_STATUS.get(last_word.kind, 1)


def beginning(store: Store, run_id: str) -> Iterator[ev.Event]:
    """What is written before the work. That it has begun comes before any look into the index, which may be held or
    gone: an index that is made again meanwhile goes by the log."""
    yield ev.Started(pid=os.getpid())
    with contextlib.suppress(PruneError):  # the work itself says what is wrong with the store
        yield from read_before.warnings_of(store, run_id)


def claim(store: Store, run_id: str) -> bool:
    """True when the launcher started this very process for the run.

    A write transaction, because it must wait for the one in which the launcher starts us.
    """
    with store.index.write() as rows:
        row = rows.get(run_id)
        if row is None or row.status not in ("running", "stopping") or row.pid != os.getpid():
            return False
        rows.update(run_id, pid_created=processes.birth(os.getpid()))
        return True


def claim_in_time(store: Store, run_id: str, seconds: float) -> bool:
    """`claim`, again and again while the index cannot be had; raises PruneError after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return claim(store, run_id)
        except PruneError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_CLAIM_AGAIN_SECONDS)


def _could_not_begin(store: Store, run_id: str, error: PruneError) -> int:
    """Say in the log of the run why it did not begin, unless another worker has begun it; returns the exit status."""
    why = str(error)
    waited = words.duration(_CLAIM_SECONDS)
    message = f"The run waited {waited} for the run index and could not begin: {why[:1].lower()}{why[1:]}"
    print(message, file=sys.stderr)
    begun = (ev.Started, *ev.TERMINAL)
    if not any(isinstance(stamped.event, begun) for stamped in store.events_since(run_id)):
        store.append(run_id, ev.Failed(reason=error.kind, message=message))
    return _EXIT_STATUS["failed"]


def work(
    store: Store,
    run_id: str,
    executor: execute.Executor | None,
    stop: Stopping,
    policy: HostPolicy,
    begin: Iterable[ev.Event] = (),
    pause: Callable[[], bool] | None = None,
) -> ev.Finished | ev.Failed | ev.Cancelled | ev.Paused:
    """Write down every event of the job but the last word, which is returned.

    begin: what is written first. pause: whether the job is to be left between two blocks, where it can be.
    """
    throttle = Throttle()
    try:
        for event in read_before.said_again(store, run_id, begin):
            store.append(run_id, event)
        stop.check()
        with stop.interrupts():
            record = store.get(run_id)
            job = record.job
            context = Context.of(
                job,
                store.folder(run_id),
                policy,
                store,
                place=lambda *asked: placing.place(*asked),
                walk=lambda *asked: placing.choose_walk(*asked),
                shared=store.shared_folder(record.study) if record.study else None,
                pause=pause,
                bounds=_bounds(store, record.owner, policy),
            )
            events = (executor or executor_of(os.environ).do)(job, context)
        with contextlib.closing(events):
            for event in read_before.said_again(store, run_id, _until_stopped(events, stop)):
                if isinstance(event, ev.Finished | ev.Paused):
                    return event
                for due in throttle.take(event):
                    store.append(run_id, due)
        raise RuntimeError("the job ended without a result")
    except Cancel:
        return liveness.verdict_in(store.folder(run_id)) or ev.Cancelled()
    except BaseException as error:
        logging.getLogger(__name__).exception("The run failed")
        return failure_of(error)
    finally:
        with contextlib.suppress(OSError, PruneError):  # a full disk: the last word says it
            for held in throttle.flush():
                store.append(run_id, held)


def _bounds(store: Store, owner: str, policy: HostPolicy) -> ModelBounds:
    """How large a model of this visitor may be, whatever its repository held when it was asked for."""
    return Quotas.of(policy, os.environ, store.root).bounds_for(owner)


def _until_stopped(events: Iterator[ev.Event], stop: Stopping) -> Iterator[ev.Event]:
    """The job's events; raises Cancel as soon as the run is to stop, unless it has just finished."""
    while True:
        with stop.interrupts():
            event = next(events, None)
        if event is None:
            return
        yield event
        stop.check()


def _lower_priority() -> None:
    with contextlib.suppress(OSError):  # some containers forbid it, and the run does not need it
        os.nice(_NICE)


def _take_token() -> None:
    """The Hub token of whoever asked for this run, when the launcher hands one over; never kept on disk."""
    from apt_core.models.fetch import hub_token

    if not sys.stdin.isatty():
        hub_token.keep(sys.stdin.readline())


if __name__ == "__main__":
    logs.set_up_child(os.environ)
    if warm.is_placeholder(sys.argv[1]):
        _lower_priority()
        copied = warm.become_a_worker()
        if copied is None:
            sys.exit()
        _take_token()
        sys.exit(main(copied.run, spared=copied.spared))
    _take_token()
    sys.exit(main(sys.argv[1]))
