"""Asking the models of runs, from the page or the command line. No torch: a reader process has it."""

from __future__ import annotations

import contextlib
import logging
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from apt_core.base import logs
from apt_core.base.errors import BadInput, PruneError
from apt_core.base.limits import ASKED_TOGETHER
from apt_core.base.paths import cache_dir
from apt_core.events import Failed
from apt_core.events.records import RunRecord
from apt_core.measure.questions import LAST, Ask, Question, Reply, Request, Score, Sides, reply_adapter
from apt_core.runs import memory_watch, processes, reader_words
from apt_core.runs.asking import Asking
from apt_core.runs.line import Line
from apt_core.runs.quotas import Quotas
from apt_core.runs.shared_memory import READER, SharedMemory
from apt_core.runs.store import Store

READER_COMMAND = (sys.executable, "-m", "apt_core.runs.reader")
REPOSITORY = Path(__file__).resolve().parents[2]
_log = logging.getLogger(__name__)


class Reader:
    """Holds at most one reader process, and asks it one question at a time.

    Models stay loaded between questions within a bound (`runs.loaded`); the process ends after
    `idle` seconds without a question. Who asks meanwhile waits up to `patience` seconds for a turn, in the order of
    `Line`. No answer within `silence` seconds counts as dead; after a stop, or when nobody listens any more, none
    within `grace`. The process is ended then, as it is when it holds more than `memory_bytes`, and the next question
    starts a new one.
    quotas: for the size of a model that is fetched again. memory: what the processes of this page may hold together.
    """

    def __init__(
        self,
        store: Store | None = None,
        command: Sequence[str] = READER_COMMAND,
        idle: float = 300.0,
        patience: float = 600.0,
        silence: float = 300.0,
        grace: float = 5.0,
        memory_bytes: int | None = None,
        quotas: Quotas = Quotas(),  # noqa: B008 - immutable
        memory: SharedMemory | None = None,
    ):
        self._store = store
        self._command = tuple(command)
        self._idle = idle
        self._patience = patience
        self._silence = silence
        self._grace = grace
        self._memory_bytes = memory_bytes
        self._quotas = quotas
        self._memory = memory or SharedMemory()
        self._memory.joins(READER, self._held)
        self._line = Line()  # a turn lasts from a question to its last reply, also when nobody listens
        self._process: _Process | None = None

    def ask(
        self,
        run_id: str,
        question: Question,
        others: Sequence[str] = (),
        dense: bool = True,
        asker: str = "",
    ) -> Asking:
        """ReaderReady, Steps, then Answered; or Failed with one sentence at any point. Never raises.

        others: further runs that pruned the same model. dense: whether the dense model answers too; without it the
        run's own pruned model takes its place. asker: whose question it is, for the line. Its `stop` ends this answer
        alone; closing it too, and leaves the models loaded.
        """
        return self._asking(
            [run_id, *others], lambda sides: Ask(sides=sides, question=question), dense, asker
        )

    def check(self, run_ids: Sequence[str]) -> None:
        """Raise PruneError with the sentence with which these runs would refuse to be asked together."""
        self._sides_of(run_ids)

    def score(
        self,
        run_id: str,
        question: Question,
        tokens: Sequence[int],
        others: Sequence[str] = (),
        asker: str = "",
    ) -> Asking:
        """ReaderReady, Scoring, then Scored: the tokens of the dense answer run through every model. Else as `ask`."""
        return self._asking(
            [run_id, *others],
            lambda sides: Score(sides=sides, question=question, tokens=tuple(tokens)),
            asker=asker,
        )

    def ask_sides(self, sides: Sides, question: Question) -> Asking:
        """As `ask`, for any dense model and any folders of pruned weights."""
        return Asking(lambda asking: self._replies(Ask(sides=sides, question=question), asking))

    def score_sides(self, sides: Sides, question: Question, tokens: Sequence[int]) -> Asking:
        """As `score`, for any dense model and any folders of pruned weights."""
        request = Score(sides=sides, question=question, tokens=tuple(tokens))
        return Asking(lambda asking: self._replies(request, asking))

    def _asking(
        self,
        run_ids: Sequence[str],
        request: Callable[[Sides], Request],
        dense: bool = True,
        asker: str = "",
    ) -> Asking:
        return Asking(lambda asking: self._replies_about(run_ids, request, dense, asking), asker)

    def _replies_about(
        self, run_ids: Sequence[str], request: Callable[[Sides], Request], dense: bool, asking: Asking
    ) -> Generator[Reply]:
        try:
            sides = self._sides_of(run_ids, dense)
        except PruneError as error:
            yield Failed(reason=error.kind, message=str(error))
            return
        yield from self._replies(request(sides), asking)

    def _replies(self, request: Request, asking: Asking) -> Generator[Reply]:
        if not asking.waits_in(self._line, self._patience):
            if not asking.stopped:
                self._end_if_stuck()
            yield reader_words.STOPPED_WAITING if asking.stopped else reader_words.BUSY
            return
        if asking.stopped:  # just now
            self._line.end()
            yield reader_words.STOPPED_WAITING
            return
        try:
            answer = self._begin(request)
        except PruneError as error:
            self._line.end()
            yield Failed(reason=error.kind, message=str(error))
            return
        except (OSError, RuntimeError, MemoryError) as error:  # no process or thread more can be had
            self._line.end()
            yield reader_words.lost(f" ({getattr(error, 'strerror', None) or error})")
            return
        except BaseException:
            self._line.end()
            raise
        asking.answer = answer
        if asking.stopped:
            answer.stop()
        try:
            yield from answer.replies(self._silence)
        finally:
            answer.stop()

    def stop(self) -> None:
        """End the current answer early, whoever asked; `Asking.stop` ends one's own."""
        process = self._process
        if process is not None:
            process.stop_answer()

    def close(self) -> None:
        """End the process and give its memory back. The next question starts a new one."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def _sides_of(self, run_ids: Sequence[str], with_dense: bool = True) -> Sides:
        """The dense model of these runs, and what each made of it; without it the first of them in its place."""
        store = self._store or Store()
        check_together(run_ids)
        records = [store.get(run_id) for run_id in run_ids]
        folders = [_pruned_weights(store, record) for record in records]
        for record in records[1:]:
            if record.job.model != records[0].job.model:
                raise BadInput(
                    f"Run {record.id} pruned another model; only runs of one model are asked together."
                )
        if not with_dense:
            return Sides(dense=folders[0], pruned=tuple(folders[1:]))
        parent = records[0].made_from
        dense = records[0].job.model if parent is None else store.made_by(parent).folder
        bounds = self._quotas.bounds_for(records[0].owner)
        return Sides(dense=dense, pruned=tuple(folders), bounds=bounds)

    def _end_if_stuck(self) -> None:
        """A process that hangs in an answer that nobody hears must not bar the way for ever."""
        process = self._process
        if process is not None and process.quiet_for() > self._silence:
            process.end()

    def _held(self) -> int:
        process = self._process
        return processes.memory_of(process.pid) if process is not None and process.alive else 0

    def _begin(self, request: Request) -> _Answer:
        """Hand the question to a process that lives. Raises OutOfMemory where there is no room for one."""
        process = self._process
        # One that is about to end would be gone before it has read the question.
        staying = process is not None and process.alive and process.quiet_for() <= 0.9 * self._idle
        if process is None or not staying:
            self.close()
            self._memory.check_room(READER)
            command = [*self._command, "--idle", str(self._idle)]
            process = self._process = _Process(command, self._memory_bytes, self._memory)
        return process.ask(request, self._line.end, self._grace)


def check_together(run_ids: Sequence[str]) -> None:
    """Raise BadInput where so many runs, or one of them twice, cannot be asked together."""
    most = ASKED_TOGETHER - 1
    if len(run_ids) > most:
        raise BadInput(f"At most {most} runs can be asked together; {len(run_ids)} were chosen.")
    if len(set(run_ids)) < len(run_ids):
        raise BadInput("A run is named twice; name every run once.")


def _pruned_weights(store: Store, record: RunRecord) -> Path:
    """Raises BadInput with what to do where a run has no model to ask."""
    if record.live:
        raise BadInput("This run has not finished yet; ask again when its pruned weights are there.")
    if record.finished is None:
        raise BadInput("This run did not finish, so there is no pruned model to ask; prune again.")
    if not record.finished.checkpoint:
        raise BadInput("This run made no model to ask; it only measured one.")
    if (checkpoint := store.checkpoint(record.id)) is None:
        raise BadInput("The pruned weights of this run have been removed to save disk space; prune again.")
    return checkpoint


class _Answer:
    """The replies to one question, filled by the process' thread and emptied by the asker.

    grace: seconds without a word in which a stop is to be heard.
    """

    def __init__(self, process: _Process, on_end: Callable[[], None], grace: float):
        self._process = process
        self._on_end = on_end
        self._grace = grace
        self._replies: queue.Queue[Reply] = queue.Queue()
        self._ending = threading.Lock()
        self._over = threading.Event()
        self._stopping = False
        self.ended = False

    def put(self, reply: Reply) -> None:
        """A reply of the process; the last one lets the next asker in."""
        with self._ending:
            if self.ended:
                return
            self.ended = isinstance(reply, LAST)
        self._replies.put(reply)
        if self.ended:
            self._over.set()
            self._on_end()

    def replies(self, silence: float) -> Iterator[Reply]:
        while True:
            try:
                reply = self._replies.get(timeout=silence)
            except queue.Empty:
                reply = reader_words.lost(f" (silent for {silence:g} seconds)")
                self._process.end(reply)
                self.put(reply)
            yield reply
            if isinstance(reply, LAST):
                return

    def stop(self) -> None:
        """The process need not go on with this answer.

        Said before the last reply is taken, thus before the next question: it cannot end the next answer.
        """
        with self._ending:
            if self.ended:
                return
            self._process.say_stop()
            insisted, self._stopping = self._stopping, True
        if not insisted:
            threading.Thread(target=self._insist, name="reader stop", daemon=True).start()

    def _insist(self) -> None:
        """A step that does not end must not bar the way for others: without it the process goes."""
        asked = time.monotonic()
        while (quiet := min(self._process.quiet_for(), time.monotonic() - asked)) < self._grace:
            if self._over.wait(self._grace - quiet):
                return
        with self._ending:  # the next question cannot begin before the process is gone
            if self.ended:
                return
            self._process.end(reader_words.STOPPED)
        self.put(reader_words.STOPPED)


class _Process:
    """One reader process and the thread that reads what it says. memory_bytes: the most that it may hold, beside the
    others of `memory`."""

    def __init__(self, command: list[str], memory_bytes: int | None, memory: SharedMemory):
        self._answer: _Answer | None = None
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._gone = False
        self._ended_for: Failed | None = None
        self._heard_at = time.monotonic()
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
                start_new_session=True,  # Ctrl-C in a terminal is for the asker, who then stops us
            )
        stdin, stdout = self._popen.stdin, self._popen.stdout
        assert stdin and stdout  # both are pipes
        self._stdin, self._stdout = stdin, stdout
        threading.Thread(target=self._listen, name="reader", daemon=True).start()
        left = partial(memory.left_for, READER)
        memory_watch.watch(self._popen.pid, memory_bytes, lambda: self.alive, self.end, left)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return not self._gone and self._ended_for is None and self._popen.poll() is None

    def quiet_for(self) -> float:
        """Seconds since it last said something."""
        return time.monotonic() - self._heard_at

    def ask(self, request: Request, on_end: Callable[[], None], grace: float) -> _Answer:
        answer = _Answer(self, on_end, grace)
        with self._lock:
            self._answer = answer
            gone = self._gone
        if gone:
            answer.put(self._last_word())
        logs.bound(_log_path())
        self._write(request.model_dump_json())
        return answer

    def say_stop(self) -> None:
        self._write("stop")

    def stop_answer(self) -> None:
        """As the answer's own `stop`, of the one that is being given."""
        with self._lock:
            answer = self._answer
        if answer is not None:
            answer.stop()

    def end(self, why: Failed | None = None) -> None:
        """Ask politely by closing stdin, then insist. why: the sentence for those who wait for the answer."""
        self._ended_for = self._ended_for or why
        with contextlib.suppress(OSError):  # it is gone already
            self._stdin.close()
        if self._popen.poll() is None:
            processes.kill_group(self._popen.pid)  # it only reads: nothing is lost
        try:
            self._popen.wait(timeout=10)
        except subprocess.TimeoutExpired:
            _log.warning("The reader %s does not end; the system will take it.", self._popen.pid)

    def _write(self, line: str) -> None:
        """One line to the process; when it is gone, `_listen` tells the asker so."""
        with self._writing, contextlib.suppress(OSError, ValueError):  # ValueError: closed by `end`
            self._stdin.write(f"{line}\n")
            self._stdin.flush()

    def _listen(self) -> None:
        """Hand on every reply; at the end of the process, its last word."""
        for line in self._stdout:
            try:
                reply = reply_adapter.validate_json(line)
            except ValidationError:
                _log.warning("The reader said something that is no reply: %.100s", line)
                continue
            with self._lock:
                self._heard_at = time.monotonic()
                answer = self._answer
            if answer is not None:
                answer.put(reply)
            logs.bound(_log_path())
        self._stdout.close()
        self._popen.wait()
        with self._lock:
            self._gone = True
            answer = self._answer
        if answer is not None:
            answer.put(self._last_word())

    def _last_word(self) -> Failed:
        return self._ended_for or reader_words.ended_with(self._popen.poll())


def _log_path() -> Path:
    return cache_dir() / "reader.log"
