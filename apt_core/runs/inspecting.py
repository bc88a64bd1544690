"""Looking inside finished runs, and at allocations before a run, from the page or the command line. No torch: an
inspector process has it.

What was seen is kept as a file of the run's folder: a finished run does not change, so the same question has the same
answer, also when its weights have been removed since. What an allocation gives is kept beside the runs, under the files
of the model and the text that it was found with.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from apt_core.base import logs, words
from apt_core.base.errors import BadInput, PruneError
from apt_core.base.paths import cache_dir
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.events import Failed
from apt_core.events.records import RunRecord
from apt_core.measure.inside.questions import (
    AllocationQuestion,
    Answer,
    LayerQuestion,
    Looking,
    Question,
    Reply,
    RunQuestion,
    reply_adapter,
)
from apt_core.runs import allocations, kept_looks, memory_watch, processes
from apt_core.runs.line import Line
from apt_core.runs.shared_memory import INSPECTOR, SharedMemory
from apt_core.runs.store import Store

INSPECTOR_COMMAND = (sys.executable, "-m", "apt_core.runs.inspector")
REPOSITORY = Path(__file__).resolve().parents[2]
_TELLS_EVERY = 0.5  # seconds, while others come before
_log = logging.getLogger(__name__)


def checked(question: RunQuestion, store: Store) -> RunRecord:
    """The run that is asked about; raises BadInput with one sentence where it cannot be looked into."""
    record = store.get(question.run)
    _check_finished(record)
    _check_shapes(record, isinstance(question, LayerQuestion))
    if isinstance(question, LayerQuestion):
        check_layer(record, question.block, question.layer)
        check_row(record, question.block, question.layer, question.row)
    if store.checkpoint(question.run) is None:
        raise BadInput(
            f"The pruned weights of run {question.run} have been removed to save disk space, so nothing is left to "
            "look into; prune again."
        )
    return record


def _check_shapes(record: RunRecord, of_a_layer: bool) -> None:
    """What lies side by side in both models can be compared."""
    if record.shrunk is None:
        return
    if of_a_layer:
        raise BadInput(
            f"Run {record.id} removed whole structures, so its layers have other shapes than those of the dense model; "
            "look at the whole model with --depth, or ask both models with 'generate'."
        )
    if record.shrunk.removed_blocks:
        raise BadInput(
            f"Run {record.id} removed whole blocks, so the blocks of both models are not the same; ask both models "
            "with 'generate', or compare runs."
        )


def _check_finished(record: RunRecord) -> None:
    if "pruned" not in record.job.subjects:
        raise BadInput(f"Run {record.id} only measured a model; choose a run that pruned one.")
    if record.live:
        raise BadInput(f"Run {record.id} has not finished yet; look inside once it has.")
    if record.finished is None:
        raise BadInput(f"Run {record.id} did not finish, so it left no weights to look into; prune again.")


def check_layer(record: RunRecord, block: int, layer: str) -> None:
    """Raise BadInput with what there is instead."""
    blocks = sorted({one.block for one in record.layers})
    if block not in blocks:
        there = f"{blocks[0]} to {blocks[-1]}" if blocks else "none"
        raise BadInput(f"There is no block {block} in run {record.id}; its pruned blocks are {there}.")
    names = [one.layer for one in record.layers if one.block == block]
    if layer not in names:
        some = ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
        raise BadInput(f"Block {block} has no pruned layer {layer[:80]!r}; it has {some}.")


def check_row(record: RunRecord, block: int, layer: str, row: int | None) -> None:
    """Raise BadInput for a row that this layer does not have. None is the one that lost most."""
    rows = next((one.shape[0] for one in record.layers if (one.block, one.layer) == (block, layer)), None)
    if row is not None and rows is not None and not 0 <= row < rows:
        raise BadInput(f"This layer has the rows 0 to {rows - 1}, and no row {row}.")


class Inspector:
    """Holds at most one inspector process, and asks it one question at a time; others wait up to `patience` seconds for
    their turn, in the order of `Line`.

    The process goes away by itself after `idle` seconds without a question. No word within `silence` seconds counts
    as dead; one that holds more than `memory_bytes`, or takes longer than `most_seconds` for an answer, is ended.
    memory: what the processes of this page may hold together.
    """

    def __init__(
        self,
        store: Store | None = None,
        command: Sequence[str] = INSPECTOR_COMMAND,
        idle: float = 300.0,
        silence: float = 600.0,
        patience: float = 600.0,
        memory_bytes: int | None = None,
        most_seconds: float | None = None,
        memory: SharedMemory | None = None,
        policy: HostPolicy = STRICT,
    ):
        self._store, self._policy = store, policy
        self._command = tuple(command)
        self._idle, self._silence, self._patience = idle, silence, patience
        self._memory_bytes, self._most_seconds = memory_bytes, most_seconds
        self._memory = memory or SharedMemory()
        self._memory.joins(INSPECTOR, self._held)
        self._line = Line()
        self._process: _Process | None = None
        self._asked: Question | None = None  # what is being answered

    def kept(self, question: Question) -> Answer | None:
        """What was found before, without looking again; None where nothing was, or where there is no such run."""
        try:
            place = _place_of(question, self._store or Store(), self._policy)
        except PruneError:
            return None
        return place.recall(question) if place else None

    def keeps_any(self, run_id: str) -> bool:
        """Whether anything that was seen inside a layer of this run can still be shown, whatever became of its
        weights."""
        store = self._store or Store()
        try:
            store.get(run_id)
        except PruneError:
            return False
        return kept_looks.keeps_a_layer(store.folder(run_id))

    def stop(self, question: Question) -> None:
        """End the work on this question, whose asker hears Failed; nothing where another is being answered."""
        process = self._process
        if process is not None and self._asked == question:
            process.end()

    def ask(self, question: Question, asker: str = "") -> Generator[Reply]:
        """Looking again and again, then the answer; or Failed with one sentence at any point. Never raises.

        asker: whose question it is, for the line. Closing the iterator ends the process, and with it the work on this
        question.
        """
        store = self._store or Store()
        try:
            place = _place_of(question, store, self._policy)
            if place and (known := place.recall(question)) is not None:
                yield known
                return
            if not isinstance(question, AllocationQuestion):
                checked(question, store)
        except PruneError as error:
            yield Failed(reason=error.kind, message=str(error))
            return
        if not (yield from self._turn_of(asker)):
            yield _BUSY
            return
        try:
            if place and (known := place.recall(question)) is not None:  # somebody before asked the same
                yield known
                return
            yield from self._answered(question, store)
        finally:
            self._line.end()

    def _turn_of(self, asker: str) -> Generator[Reply, None, bool]:
        """Says how many come before, until the turn of this question has come; returns whether it has."""
        place, until = self._line.join(asker), time.monotonic() + self._patience
        came = False
        try:
            while not (came := self._line.wait(place, min(_TELLS_EVERY, max(0.0, until - time.monotonic())))):
                if time.monotonic() >= until:
                    break
                yield Looking(done=0, total=1, detail=_before(self._line.before(place)))
            return came
        finally:
            if not came:
                self._line.leave(place)

    def close(self) -> None:
        """End the process and give its memory back. The next question starts a new one."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _answered(self, question: Question, store: Store) -> Generator[Reply]:
        last: Reply | None = None
        limit: threading.Timer | None = None
        try:
            if self._process is None or not self._process.alive:
                self.close()
                command = [*self._command, "--idle", str(self._idle)]
                self._memory.check_room(INSPECTOR)
                self._process = _Process(command, self._memory_bytes, self._memory)
            self._asked = question
            limit = self._limited(self._process)
            self._process.say(question.model_dump_json())
            while last is None or isinstance(last, Looking):
                last = self._process.hear(self._silence)
                if not isinstance(last, Looking | Failed) and (
                    place := _place_of(question, store, self._policy)
                ):
                    place.keep(question, last)
                yield last
        except PruneError as error:
            yield Failed(reason=error.kind, message=str(error))
        except OSError as error:
            yield _lost(f" ({error.strerror})")
        finally:
            self._asked = None
            if limit is not None:
                limit.cancel()
            if last is None or isinstance(last, Looking) or not self._alive():
                self.close()  # nobody listens any more, or it is gone: what it still does is of no use

    def _held(self) -> int:
        process = self._process
        return processes.memory_of(process.pid) if process is not None and process.alive else 0

    def _limited(self, process: _Process) -> threading.Timer | None:
        """What ends the process once an answer has taken as long as it may."""
        if self._most_seconds is None:
            return None
        timer = threading.Timer(self._most_seconds, process.end, [_too_long(self._most_seconds)])
        timer.daemon = True
        timer.start()
        return timer

    def _alive(self) -> bool:
        return self._process is not None and self._process.alive


class _Process:
    """One inspector process and the thread that reads what it says. memory_bytes: the most that it may hold, beside the
    others of `memory`."""

    def __init__(self, command: list[str], memory_bytes: int | None, memory: SharedMemory):
        self._heard: queue.Queue[Reply | None] = queue.Queue()
        self._ended_for: Failed | None = None
        self._gone = False
        with logs.begin(_log_path()) as log:
            self._popen = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=processes.heavy_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C in a terminal is for the asker, who then ends us
            )
        threading.Thread(target=self._listen, name="inspector", daemon=True).start()
        left = partial(memory.left_for, INSPECTOR)
        memory_watch.watch(self._popen.pid, memory_bytes, lambda: self.alive, self.end, left)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return not self._gone and self._popen.poll() is None

    def say(self, line: str) -> None:
        logs.bound(_log_path())
        assert self._popen.stdin  # it is a pipe
        with contextlib.suppress(OSError, ValueError):  # it is gone: `hear` says so
            self._popen.stdin.write(f"{line}\n")
            self._popen.stdin.flush()

    def hear(self, silence: float) -> Reply:
        """The next reply; its end or too long a silence is one, too."""
        try:
            reply = self._heard.get(timeout=silence)
        except queue.Empty:
            self.end()
            return _lost(f" (silent for {silence:g} seconds)")
        return reply or self._ended_for or _lost(processes.how_it_ended(self._popen.wait()))

    def end(self, why: Failed | None = None) -> None:
        """why: the sentence for those who wait for the answer."""
        self._ended_for = self._ended_for or why
        with contextlib.suppress(OSError):  # it is gone already
            assert self._popen.stdin
            self._popen.stdin.close()
        if self._popen.poll() is None:
            processes.kill_group(self._popen.pid)  # it only reads: nothing is lost
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=10)

    def _listen(self) -> None:
        assert self._popen.stdout
        for line in self._popen.stdout:
            try:
                self._heard.put(reply_adapter.validate_json(line))
            except ValidationError:
                _log.warning("The inspector said something that is no reply: %.100s", line)
        self._popen.stdout.close()
        self._gone = True  # before the system says so: nobody may ask it once more
        self._heard.put(None)


class _Place(NamedTuple):
    """Where answers to a question are kept. stamp: what they depend on beside it, empty for what does not change."""

    folder: Path
    stamp: str = ""

    def recall(self, question: Question) -> Answer | None:
        return kept_looks.recall(self.folder, question, self.stamp)

    def keep(self, question: Question, answer: Answer) -> None:
        kept_looks.keep(self.folder, question, answer, self.stamp)


def _place_of(question: Question, store: Store, policy: HostPolicy) -> _Place | None:
    """None where the answer is not to be kept. Raises UnknownRun."""
    if isinstance(question, AllocationQuestion):
        stamp = allocations.stamp_of(question, store, policy)
        return _Place(allocations.folder_of(store), stamp) if stamp else None
    store.get(question.run)  # a folder of this name is the run's
    return _Place(store.folder(question.run))


def _log_path() -> Path:
    return cache_dir() / "inspector.log"


def _lost(how: str) -> Failed:
    return Failed(
        reason="worker_died",
        message=f"The process that looks inside runs ended without a message{how}; ask again to start it again.",
    )


def _too_long(seconds: float) -> Failed:
    message = (
        f"The look was ended after {words.duration(seconds)}, the longest that one may take here; choose a smaller "
        "model or less text."
    )
    return Failed(reason="too_long", message=message)


def _before(many: int) -> str:
    return f"{'One look comes' if many <= 1 else f'{many} looks come'} before yours"


_BUSY = Failed(
    reason="busy", message="Somebody else is looking inside a run just now; try again in a moment."
)
