"""The queue: as many runs at a time as the executor has seats for, whichever process asks (page, command line).

`tick()` does everything, in one transaction, and may be called by any number of processes: it marks
dead workers' runs as failed, ends those that do not stop when asked to, and starts the next run in the queue. What was
deleted more than a minute ago goes for good.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from apt_core import events as ev
from apt_core.base import logs
from apt_core.base.errors import BadInput, PruneError
from apt_core.base.policy import LOCAL
from apt_core.events.records import RunRecord
from apt_core.jobs import Job
from apt_core.jobs.study import Asked, Study
from apt_core.runs import keeping, liveness, models_in_use, processes, token_holder
from apt_core.runs.beginnings import may_begin_again
from apt_core.runs.eventlog import EventLog
from apt_core.runs.executors import Executor, Seat, executor_of
from apt_core.runs.folders import IN_PROCESS
from apt_core.runs.idle import WhileIdle
from apt_core.runs.index import Row, Rows
from apt_core.runs.liveness import Liveness, RunLimits
from apt_core.runs.seats import Seats
from apt_core.runs.shared_memory import RUNS, WARM, SharedMemory
from apt_core.runs.since import Since
from apt_core.runs.starting import WORKER_COMMAND, WORKER_LOG, Child, Starter
from apt_core.runs.store import NO_ROOM, Store

OVERTAKE_SECONDS = 5.0  # in which the app of a host begins a run that has a seat
_log = logging.getLogger(__name__)


class Launcher:
    """Starts the workers of a store's runs.

    A worker that was asked to cancel gets `grace` seconds to reach its next event, then SIGTERM, and
    after `grace / 2` more SIGKILL. One that is silent or takes too long gets SIGTERM at once, and SIGKILL after
    `grace`. Workers are not children that must be kept: they outlive this process, and the launcher of another process
    looks after them. While `paused()` no further run begins. only: the owner whose runs are begun here and whose
    searches are gone on with (the command line's own); those of others are left to the app of the host, which has its
    rules, and waited for while it begins them. memory: what the processes of this page may hold together.
    """

    def __init__(
        self,
        store: Store,
        command: Sequence[str] = WORKER_COMMAND,
        grace: float = 10.0,
        interval: float = 0.5,
        advance: Callable[[Store, str], object] | None = None,
        limits: RunLimits | None = None,
        executor: Executor | None = None,
        paused: Callable[[], bool] = lambda: False,
        only: str | None = None,
        memory: SharedMemory | None = None,
    ):
        self.store = store
        self.executor = executor or executor_of(os.environ)
        self._seats = Seats(store, self.executor)
        self._advance = advance
        self._paused = paused
        self._only = only
        self.grace = grace
        self.interval = interval
        self._command = tuple(command)
        in_calls = self.executor.call_seconds() is not None
        self._memory = memory or SharedMemory()
        self._memory.joins(RUNS, lambda: sum(map(processes.memory_of, self._workers)))
        left_for_warm = partial(self._memory.left_for, WARM)
        self._starter = Starter(store.root, command, warms=not in_calls, left=left_for_warm)
        self._idle = WhileIdle(store, self._starter)
        self._children: dict[str, Child] = {}  # to reap them, and to know how they ended
        self._tokens: dict[str, str] = {}  # of runs that wait, in memory only
        self._ticking = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._trouble = ""  # what the log last said, so that it is said once
        self._limits = limits or RunLimits()
        self._liveness = Liveness(self._limits)
        self._ending = Since()  # of workers that are to end
        self._could_begin = Since()  # of runs that wait for the app of the host
        self._at_work: dict[str, str | None] = {}  # runs at the end of the last look, and their studies
        self._workers: tuple[int, ...] = ()  # of these runs

    def submit(self, job: Job, token: str | None = None, owner: str = LOCAL) -> str:
        """Queue a run, start it if nothing else runs, and return its id.

        token: of the Hub, handed to the worker through a pipe. Only this process knows it, so only this
        process can start that run. owner: whose the run is.
        """
        with self._ticking:  # nobody starts it before it is known whose it is
            run_id = self.store.create(job, token is not None, owner)
            if token is not None:
                self._tokens[run_id] = token
        self.tick()
        return run_id

    def submit_study(
        self,
        kind: str,
        jobs: Sequence[Job],
        token: str | None = None,
        asked: Asked | None = None,
        owner: str = LOCAL,
    ) -> Study:
        """Queue a run for each job as one group, all or none of them; `token` and `owner` as in `submit`, `asked` as in
        `Store.create_study`."""
        with self._ticking:
            study = self.store.create_study(kind, jobs, token is not None, asked, owner)
            if token is not None:
                self._tokens |= dict.fromkeys(study.runs, token)
        self.tick()
        return study

    def resume_study(self, study_id: str, token: str | None = None) -> Study:
        """Queue again what was cancelled, failed or deleted of a study (`Store.renew_study`)."""
        with self._ticking:
            before = self.store.study(study_id)
            study = self.store.renew_study(study_id, token is not None)
            if token is not None:
                self._tokens |= dict.fromkeys(set(study.runs) - set(before.runs), token)
        self.tick()
        return study

    def tick(self, start_next: bool = True) -> None:
        """Look after the running worker and the queue. Idempotent; safe in threads and processes.

        With `start_next` off the queue is left alone: runs of dead workers are marked, overdue ones ended.
        """
        with self._ticking:
            self._reap()
            self.store.sweep()
            if not self._at_work and not self._anything_to_do():
                self._tokens.clear()
                self._seats.forget_demands()
                return
            if start_next:
                self._seats.find_demands()
            with self.store.index.write() as rows:
                self._forget_tokens_of_others(rows)
                studies = self._ended_elsewhere(rows)
                ended = [(row, status) for row in rows.active() if (status := self._look_after(rows, row))]
                if start_next and not self._paused():
                    self._start_those_with_a_seat(rows)
                more_to_come = start_next and bool(rows.queue())
                active = rows.active()
                self._at_work = {row.id: row.study for row in active}
                self._workers = tuple(row.pid for row in active if row.pid is not None)
        if more_to_come:
            self._starter.warm_up()
        if ended:
            self._idle.run_ended()
        if any(status == "finished" for _, status in ended):
            self._keep_within_cap()
        if ended and self._limits.models_bytes is not None:
            self._keep_models_within(self._limits.models_bytes)
        for study_id in studies | {row.study for row, _ in ended if row.study}:
            self._run_of_study_ended(study_id)

    def start(self) -> None:
        """Tick in a daemon thread until `stop()`; a second call changes nothing."""
        if self._thread is None or not self._thread.is_alive():
            self._stopping.clear()
            self._idle.opened()
            self._thread = threading.Thread(target=self._tick_for_ever, name="launcher", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread. Workers go on; the next launcher adopts them."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._starter.cool_down()

    def wait(
        self,
        run_id: str,
        on_event: Callable[[ev.Stamped], None] | None = None,
        on_tick: Callable[[RunRecord], None] | None = None,
    ) -> RunRecord:
        """Tick until this run has ended, and return its record.

        `on_event` gets every event of its log once, in order; `on_tick` the record several times a second.
        """
        seq = -1
        while True:
            self._tick_and_log_trouble()
            record = self.store.get(run_id)
            for stamped in self.store.events_since(run_id, seq):
                seq = stamped.seq
                if on_event is not None:
                    on_event(stamped)
            if on_tick is not None:
                on_tick(record)
            if not record.live:
                self._settle(run_id)
                return record
            time.sleep(min(self.interval, 0.2))

    def stop_run(self, run_id: str, seconds: float) -> RunRecord:
        """Cancel a run, ask its worker at once and not only between two events, and wait this long for its end."""
        deadline = time.monotonic() + seconds
        self.store.request_cancel(run_id)
        with self.store.index.read() as rows:
            row = rows.get(run_id)
        if (
            row
            and row.pid
            and processes.is_alive(row.pid, row.pid_created, row.id)
            and not self._is_a_person(row)
        ):
            processes.ask_to_end(row.pid)
        while (record := self.store.get(run_id)).live and time.monotonic() < deadline:
            self._tick_and_log_trouble()
            time.sleep(0.05)
        return record

    def _is_a_person(self, row: Row) -> bool:
        """Whether a process of a person does the run itself (`in_process`): it is never signalled."""
        return (self.store.folder(row.id) / IN_PROCESS).exists()

    def _settle(self, run_id: str, seconds: float = 5.0) -> None:
        """Wait a little for the worker's process to be gone, so that its memory is given back."""
        deadline = time.monotonic() + seconds
        while self.store.position(run_id) == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
            self._tick_and_log_trouble()

    # --- one worker ------------------------------------------------------------------------------

    def _anything_to_do(self) -> bool:
        """A cheap look without the write lock, so that idle pages leave the index alone."""
        with self.store.index.read() as rows:
            return bool(rows.active() or rows.queue())

    def _ended_elsewhere(self, rows: Rows) -> set[str]:
        """The studies of runs that another process (the command line) has seen the end of. Of those that are still at
        work what was noted is kept."""
        at_work = {row.id for row in rows.active()}
        self._liveness.attend(at_work)
        self._ending.keep(at_work)
        return {study for run_id, study in self._at_work.items() if study and run_id not in at_work}

    def _look_after(self, rows: Rows, row: Row) -> str | None:
        """What became of a running row: its final status once its worker is gone, None before."""
        if processes.is_alive(row.pid, row.pid_created, row.id):
            logs.bound(self.store.folder(row.id) / WORKER_LOG)
            self._end_when_overdue(rows, row)
            return None
        ending = self._log_of(row).ending()
        if ending is None and self._waits_again(row):
            rows.update(row.id, status="queued", pid=None, pid_created=None)
            return None
        ending = ending or self._mark_dead(row)
        self._liveness.forget(row.id, self.store.folder(row.id))
        self._seats.leave(row.id)
        status = ending.event.kind if ending else "failed"
        rows.update(row.id, status=status, ended_at=ending.at if ending else time.time())
        self._children.pop(row.id, None)
        return status

    def _waits_again(self, row: Row) -> bool:
        """Whether a run whose call was ended from outside waits for another one."""
        in_calls_here = self.executor.call_seconds() is not None
        asked_to_end = row.cancel_requested_at or self._verdict(row)
        return in_calls_here and not asked_to_end and may_begin_again(self.store, row.id)

    def _end_when_overdue(self, rows: Rows, row: Row) -> None:
        """First ask, then end, a worker past its grace period, and one that is silent or takes too long or too much.
        A person's own process (`in_process`) is left alone."""
        if row.pid is None or self._is_a_person(row):
            return
        left = self._memory.left_for_run(lambda: _began_before(rows, row))
        if why := self._liveness.overdue(row.id, self.store.folder(row.id), row.pid, left):
            self._end_because(why, row.id, row.pid)
        elif row.cancel_requested_at is not None or self._log_of(row).ending() is not None:
            self._end_after_grace(row.id, row.pid)

    def _end_because(self, why: ev.Failed, run_id: str, pid: int) -> None:
        """Ask it at once, so that what it has kept is whole; memory that is not there leaves no time for that."""
        waited = self._ending.seconds(run_id, why.reason)
        if waited == 0:
            _log.warning("Run %s: %s", run_id, why.message)
            liveness.write_verdict(self.store.folder(run_id), why)
        if waited > self.grace or why.reason == "out_of_memory":
            processes.kill_group(pid)
        else:
            processes.ask_to_end(pid)

    def _end_after_grace(self, run_id: str, pid: int) -> None:
        """A worker that was cancelled, or has said its last word."""
        overdue = self._ending.seconds(run_id, "asked to end") - self.grace
        if overdue > self.grace / 2:
            _log.warning("Run %s did not stop when asked; ending its worker %s.", run_id, pid)
            processes.kill_group(pid)
        elif overdue > 0:
            processes.ask_to_end(pid)

    def _verdict(self, row: Row) -> ev.Failed | None:
        """Why this worker was asked to end before its work was done, if it was."""
        return self._liveness.verdict(row.id, self.store.folder(row.id))

    def _mark_dead(self, row: Row) -> ev.Stamped | None:
        """Say in the log of a dead worker how its run ended, and remove its half-written weights."""
        keeping.remove_checkpoints(self.store.folder(row.id))
        child = self._children.get(row.id)
        how = processes.how_it_ended(_exit_code(child))
        if row.cancel_requested_at:
            return self._write_last_word(row.id, ev.Cancelled())
        return self._write_last_word(row.id, self._verdict(row) or _worker_died(how))

    def _write_last_word(self, run_id: str, event: ev.Event) -> ev.Stamped | None:
        """None when a full disk or a removed folder does not let us; the index still says that it ended."""
        try:
            return self.store.append(run_id, event)
        except (OSError, PruneError) as error:
            _log.warning("The end of run %s could not be written down: %s", run_id, error)
            return None

    def _log_of(self, row: Row) -> EventLog:
        return EventLog(self.store.folder(row.id))

    # --- the next one ----------------------------------------------------------------------------

    def _start_those_with_a_seat(self, rows: Rows) -> None:
        """In the order of the queue; whoever has to wait is overtaken by nobody, but for runs that nobody begins."""
        for row in rows.queue():
            seat = self._seats.free_for(row, rows.active())
            if seat is None:
                self._could_begin.keep(())
                return
            if self._only not in (None, row.owner):
                if self._could_begin.seconds(row.id, "could begin") < OVERTAKE_SECONDS:
                    return
                continue  # no app is open, or it begins no runs just now
            if not self._start(rows, row, seat):
                return

    def _start(self, rows: Rows, row: Row, seat: Seat) -> bool:
        """Claim a queued run and start its worker, which waits for this transaction to end; False where another app
        has to start it."""
        if row.id not in self._tokens and (holder := token_holder.of(self.store.folder(row.id))):
            if not holder.is_alive():
                self._write_last_word(row.id, _SIGNED_OUT)
                rows.update(row.id, status="failed", ended_at=time.time())
                return True
            return False  # the app that knows its token starts it
        if (pid := self._at_work_already(row)) is not None:
            self._seats.take(row.id, seat)
            rows.update(row.id, status="running", pid=pid, pid_created=processes.birth(pid))
            return True
        processes.end_strays(row.id, self._command)
        try:
            self._seats.take(row.id, seat)
            token, more = self._tokens.pop(row.id, None), self.executor.environment(seat)
            child = self._starter.start(row.id, self.store.folder(row.id), token, more)
        except OSError as error:
            self._write_last_word(row.id, _not_started(error))
            rows.update(row.id, status="failed", ended_at=time.time())
            return True
        self._children[row.id] = child
        rows.update(row.id, status="running", pid=child.pid, pid_created=processes.birth(child.pid))
        return True

    def _at_work_already(self, row: Row) -> int | None:
        """The worker that has begun this run, of an index that was made again before the log said so."""
        try:
            begun = [line.event for line in self._log_of(row).read() if isinstance(line.event, ev.Started)]
        except OSError:  # whoever starts it finds out and says so
            return None
        return next((one.pid for one in begun if processes.is_alive(one.pid, None, row.id)), None)

    def token_of(self, run_id: str) -> str | None:
        """Of a run that waits here, for whoever does it in calls."""
        return self._tokens.get(run_id)

    @property
    def warm(self) -> bool:
        """Whether the next run would begin with the libraries imported."""
        return self._starter.warm

    def held_back(self) -> bool:
        """Whether no further run begins now."""
        return self._paused()

    def _forget_tokens_of_others(self, rows: Rows) -> None:
        """A run that was taken out of the queue needs its token no more."""
        waiting = {row.id for row in rows.queue()}
        self._tokens = {run_id: token for run_id, token in self._tokens.items() if run_id in waiting}

    def _reap(self) -> None:
        """Collect our ended children, so that none stays a zombie."""
        self._starter.reap()
        for child in self._children.values():
            child.poll()

    def _keep_within_cap(self) -> None:
        try:
            gone = self.store.keep_within(keeping.keep_bytes())
        except (BadInput, OSError) as error:  # weights that stay too long must not end the queue
            _log.warning("Old weights could not be removed: %s", error)
            return
        if gone:
            _log.info("Removed the weights of %s to stay within APT_KEEP_GB.", ", ".join(gone))

    def _keep_models_within(self, most: int) -> None:
        try:
            gone = models_in_use.keep_within(self.store, most)
        except (PruneError, OSError) as error:
            _log.warning("Old models could not be removed: %s", error)
            return
        if gone:
            _log.info("Removed the models %s to stay within APT_MODELS_GB.", ", ".join(gone))

    def _run_of_study_ended(self, study_id: str) -> None:
        """Ask for the next run where the results so far decide it; what the runs shared goes with the last."""
        try:
            if self._advance is not None and (self._only is None or self._owns(study_id)):
                self._advance(self.store, study_id)
            self.store.forget_shared(study_id)
        except (PruneError, OSError) as error:  # one study must not end the queue
            _log.warning("Study %s could not be looked after: %s", study_id, error)

    def _owns(self, study_id: str) -> bool:
        return self.store.study(study_id).owner == self._only

    # --- the thread ------------------------------------------------------------------------------

    def _tick_for_ever(self) -> None:
        while not self._stopping.wait(self.interval):
            self._tick_and_log_trouble()
            self._work_while_idle()

    def _work_while_idle(self) -> None:
        with suppress(PruneError, OSError):  # a busy store: the next look may find it free
            if self._idle.due() and not self._anything_to_do():
                self._idle.work()

    def _tick_and_log_trouble(self) -> None:
        """A tick that never raises: a locked index or a full disk now says nothing about the next time."""
        try:
            self.tick()
            self._trouble = ""
        except Exception as error:  # whatever it is, the queue must not stand still for ever
            if str(error) != self._trouble:  # once, not twice a second
                _log.warning("The queue could not be looked after this time: %s", error, exc_info=True)
            self._trouble = str(error)


_SIGNED_OUT = ev.Failed(
    reason="gated_model",
    message="The app was restarted before this run began, and the sign-in to the Hub that it needs went with it; "
    "sign in and start the run again.",
)


def _began_before(rows: Rows, row: Row) -> list[int]:
    """The workers that were there when the one of this run began."""
    return [one.pid for one in rows.active() if one.pid and (one.pid_created or 0) < (row.pid_created or 0)]


def _not_started(error: OSError) -> ev.Failed:
    reason, remedy = (
        ("disk_full", "some disk space") if error.errno in NO_ROOM else ("worker_died", "some memory")
    )
    return ev.Failed(
        reason=reason,
        message=f"The worker process could not be started ({error.strerror}); free {remedy} and try again.",
    )


def _worker_died(how: str) -> ev.Failed:
    return ev.Failed(
        reason="worker_died",
        message=f"The worker process ended without a message{how}, perhaps for want of memory; "
        "try fewer or shorter calibration samples, or a smaller model.",
    )


def _exit_code(child: Child | None) -> int | None:
    """Of a worker that is gone: another thread may be collecting it just now, or the system not be done with it."""
    if child is None:
        return None
    with suppress(subprocess.TimeoutExpired):
        return child.wait(timeout=2)
    return None
