"""The process that answers questions with models of one origin, dense and pruned.

    python -m apt_core.runs.reader

It takes one request (JSON, `measure.questions`) a line on stdin, loads the models that it names and does not hold yet
(`Progress` while one is fetched that is not here any more) and says `ReaderReady`. To `Ask` it streams `Step`s and one
`Answered` (JSON lines on stdout), to `Score` `Scoring` and one `Scored`. Models stay loaded within a bound
(`runs.loaded`). The line `stop` ends the current answer early. It ends at the end of stdin, or when nobody asked
anything for `--idle` seconds, and gives all its memory back.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from pydantic import BaseModel, ValidationError

from apt_core.base import logs, threads
from apt_core.base.errors import BadInput, one_sentence
from apt_core.base.lazy import lazy
from apt_core.base.paths import data_dir
from apt_core.base.policy import HostPolicy
from apt_core.estimate import machine
from apt_core.estimate.free import free_memory
from apt_core.events import Failed
from apt_core.events.asking import OtherAnswer
from apt_core.jobs import ModelRef
from apt_core.measure.questions import (
    LAST,
    Answered,
    ReaderReady,
    Request,
    Score,
    Sides,
    Step,
    request_adapter,
)
from apt_core.models.catalogue.facts import folder_facts
from apt_core.models.fetch.background import with_progress
from apt_core.models.fetch.sources import resolve
from apt_core.runs.cpu_time import Allowance, allowed_seconds
from apt_core.runs.loaded import LoadedModels
from apt_core.runs.only_ours import only_ours
from apt_core.runs.worker_errors import failure_of

if TYPE_CHECKING:
    import torch

    from apt_core.base import hardware
    from apt_core.measure import generate, token_gaps
    from apt_core.models.load import loading
else:
    torch = lazy("torch")
    hardware = lazy("apt_core.base.hardware")
    generate = lazy("apt_core.measure.generate")
    token_gaps = lazy("apt_core.measure.token_gaps")
    loading = lazy("apt_core.models.load.loading")

STOP_LINE = "stop"
_NICE = 5


class Answering(Protocol):
    """What the process answers with (tests have their own)."""

    def load(self, sides: Sides) -> Generator[BaseModel, None, bool]:
        """Bring these models into memory, with a word now and then; returns whether any was not there yet."""

    def answer(self, request: Request) -> Generator[BaseModel, None, None]:
        """The replies to a request whose models are loaded; the last one is one of `questions.LAST`."""


def main(arguments: list[str] | None = None, answering: Answering | None = None) -> int:
    """Answer until stdin ends; returns the exit status."""
    options = _parser().parse_args(arguments)
    with contextlib.suppress(OSError):  # some containers forbid it, and answers do not need it
        os.nice(_NICE)
    questions, policy = Questions(sys.stdin), HostPolicy.from_environment()
    allowance = Allowance(allowed_seconds(policy, os.environ, data_dir()))
    with only_ours() as out:
        answering = answering or Models(policy)
        while (line := questions.next(options.idle)) is not None:
            with machine.in_use():
                following = threads.following(_replies(answering, line, questions.stopped))
                for reply in allowance.through(following):
                    _say(out, reply)
    return 0


class Models:
    """The models of this machine, on its device."""

    def __init__(self, policy: HostPolicy) -> None:
        self._device = hardware.choose_device("auto")
        self._dtype = hardware.choose_dtype(self._device)
        self._policy = policy
        self._loaded: LoadedModels[Any] = LoadedModels(self._load, self._bytes_of, self._free, self._left)
        self._folders: dict[ModelRef, Path] = {}

    def load(self, sides: Sides) -> Generator[BaseModel, None, bool]:
        folders = yield from self._folders_of(sides)
        new = not self._loaded.has(folders)
        self._loaded.take(folders)
        return new

    def answer(self, request: Request) -> Generator[BaseModel, None, None]:
        loaded = self._loaded.take((yield from self._folders_of(request.sides)))
        models, tokenizer = [model for model, _ in loaded], loaded[0][1]
        if isinstance(request, Score):
            yield from token_gaps.token_gaps(models, tokenizer, request.question, request.tokens)
        else:
            dense, pruned, *others = models
            yield from generate.duel(dense, pruned, tokenizer, request.question, others)

    def _folders_of(self, sides: Sides) -> Generator[BaseModel, None, list[Path]]:
        """The dense model may have made room for others since the run: it is fetched again."""
        dense = sides.dense
        if isinstance(dense, ModelRef):
            if not self._is_here(dense):
                fetched = with_progress(partial(resolve, dense, policy=self._policy, bounds=sides.bounds))
                self._folders[dense] = yield from fetched
            dense = self._folders[dense]
        return [dense, *sides.pruned]

    def _is_here(self, dense: ModelRef) -> bool:
        folder = self._folders.get(dense)
        return folder is not None and (folder.exists() or self._loaded.has([folder]))

    def _load(self, folder: Path) -> tuple[Any, Any]:
        return loading.load(folder, self._dtype, self._device)

    def _bytes_of(self, folder: Path) -> int:
        return (folder_facts(folder, folder.name, "asked").parameters or 0) * self._dtype.itemsize

    def _free(self) -> int:
        return torch.cuda.mem_get_info()[0] if self._device == "cuda" else free_memory()

    def _left(self) -> None:
        gc.collect()
        hardware.trim_heap()
        if self._device == "cuda":
            torch.cuda.empty_cache()


class Questions:
    """The lines of stdin, read in a thread of their own so that a `stop` is heard during an answer."""

    def __init__(self, lines: TextIO):
        self.stopped = threading.Event()
        self._waiting: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()

    def next(self, idle_seconds: float) -> str | None:
        """The next question, None when stdin has ended or nobody asked for so long."""
        try:
            return self._waiting.get(timeout=idle_seconds)
        except queue.Empty:
            return None

    def _read(self, lines: TextIO) -> None:
        for line in lines:
            if line.strip() == STOP_LINE:
                self.stopped.set()
            elif line.strip():
                self.stopped.clear()  # a stop that came after the end of the answer before
                self._waiting.put(line)
        self._waiting.put(None)


def _replies(answering: Answering, line: str, stopped: threading.Event) -> Generator[BaseModel, None, None]:
    """What to say to one line of stdin; always ends with one of `questions.LAST`."""
    begun = time.monotonic()
    steps: list[Step] = []
    try:
        request = request_adapter.validate_json(line)
        new = yield from _until_stopped(answering.load(request.sides), stopped)
        if stopped.is_set():
            yield _STOPPED
            return
        yield ReaderReady(seconds=time.monotonic() - begun if new else 0.0)
        with contextlib.closing(answering.answer(request)) as replies:
            for reply in replies:
                yield reply
                if isinstance(reply, LAST):
                    return
                if isinstance(reply, Step):
                    steps.append(reply)
                if stopped.is_set():
                    yield _stopped_answer(steps, time.monotonic() - begun) if steps else _STOPPED
                    return
        raise RuntimeError("the answer ended without a last message")
    except ValidationError as error:
        yield failure_of(BadInput(one_sentence(error)))
    except Exception as error:
        logging.getLogger(__name__).exception("The question could not be answered")
        yield failure_of(error)


def _until_stopped(
    steps: Generator[BaseModel, None, bool], stopped: threading.Event
) -> Generator[BaseModel, None, bool]:
    """The same steps, left in the middle when nobody waits for them any more; returns what they return."""
    with contextlib.closing(steps):
        while not stopped.is_set():
            try:
                yield next(steps)
            except StopIteration as done:
                return bool(done.value)
    return False


_STOPPED = Failed(reason="stopped", message="Stopped before there was anything to show.")


def _stopped_answer(steps: Sequence[Step], seconds: float) -> Answered:
    """The answers as far as they had come when they were stopped."""
    texts = [
        [text for text in side if text is not None]
        for side in zip(*(step.texts for step in steps), strict=True)
    ]
    parted = [
        next((step.index for step in steps if step.texts[place] != step.dense), None)
        for place in range(len(texts))
    ]
    dense, pruned, *others = ("".join(side) for side in texts)
    return Answered(
        dense=dense,
        pruned=pruned,
        dense_tokens=len(texts[0]),
        pruned_tokens=len(texts[1]),
        first_divergence=parted[1],
        seconds=seconds,
        stopped=True,
        others=tuple(
            OtherAnswer(text=text, tokens=len(texts[place]), first_divergence=parted[place])
            for place, text in enumerate(others, start=2)
        ),
        dense_ids=tuple(step.dense_id for step in steps if step.dense_id is not None),
    )


def _say(out: TextIO, reply: BaseModel) -> None:
    out.write(reply.model_dump_json() + "\n")
    out.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m apt_core.runs.reader", description=__doc__)
    parser.add_argument("--idle", type=float, default=300.0, help="seconds without a question before it ends")
    return parser


if __name__ == "__main__":
    logs.set_up_child(os.environ)
    sys.exit(main())
