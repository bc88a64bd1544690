"""The process that answers questions with both models of a run, dense and pruned.

    python -m apt_core.runs.reader --dense MODEL [--revision REV] --pruned FOLDER

It loads both, says `ReaderReady`, then takes one `Question` (JSON) a line on stdin and streams `Step`s
and one `Answered` (JSON lines) on stdout. The line `stop` ends the current answer early. It ends at the
end of stdin, or when nobody asked anything for `--idle` seconds, and gives all its memory back.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ValidationError

from apt_core.base.errors import BadInput, one_sentence
from apt_core.base.policy import HostPolicy
from apt_core.measure.questions import Answered, Question, ReaderReady, Step
from apt_core.runs.only_ours import only_ours
from apt_core.runs.worker_errors import failure_of

Answer = Callable[[Question], Generator[Step | Answered, None, None]]
STOP_LINE = "stop"
_NICE = 5
_STAGES = {"download": "downloading", "convert": "converting"}


def main(
    arguments: list[str] | None = None, load: Callable[[argparse.Namespace], Answer] | None = None
) -> int:
    """Answer until stdin ends; returns the exit status. `load` gives what answers (tests have their own)."""
    options = _parser().parse_args(arguments)
    with contextlib.suppress(OSError):  # some containers forbid it; reading works all the same
        os.nice(_NICE)
    questions = Questions(sys.stdin)
    with only_ours() as out:
        begun = time.monotonic()
        try:
            answer = (load or load_both)(options)
        except Exception as error:
            logging.getLogger(__name__).exception("The models could not be loaded")
            _say(out, failure_of(error))
            return 1
        _say(out, ReaderReady(seconds=time.monotonic() - begun))
        while (line := questions.next(options.idle)) is not None:
            for reply in _replies(answer, line, questions.stopped):
                _say(out, reply)
    return 0


def load_both(options: argparse.Namespace) -> Answer:
    """Both models in memory, as a function from a question to the steps of its answers."""
    from apt_core.base.hardware import choose_device, choose_dtype
    from apt_core.jobs import ModelRef
    from apt_core.measure.generate import duel
    from apt_core.models.fetch.sources import resolve
    from apt_core.models.load.loading import load

    device = choose_device("auto")
    dtype = choose_dtype(device)
    dense_folder = options.dense_folder or resolve(
        ModelRef(id=options.dense, revision=options.revision), _log_progress, HostPolicy.from_environment()
    )
    dense, tokenizer = load(dense_folder, dtype, device)
    pruned, _ = load(options.pruned, dtype, device)
    return lambda question: duel(dense, pruned, tokenizer, question)


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


def _replies(answer: Answer, line: str, stopped: threading.Event) -> Iterator[BaseModel]:
    """What to say to one line of stdin; always ends with Answered or Failed."""
    begun = time.monotonic()
    steps: list[Step] = []
    try:
        question = Question.model_validate_json(line)
        with contextlib.closing(answer(question)) as replies:
            for reply in replies:
                if isinstance(reply, Answered):
                    yield reply
                    return
                yield reply
                steps.append(reply)
                if stopped.is_set():
                    yield _stopped_answer(steps, time.monotonic() - begun)
                    return
        raise RuntimeError("the answer ended without a last word")
    except ValidationError as error:
        yield failure_of(BadInput(one_sentence(error)))
    except Exception as error:
        logging.getLogger(__name__).exception("The question could not be answered")
        yield failure_of(error)


def _stopped_answer(steps: list[Step], seconds: float) -> Answered:
    """The answers as far as they had come when they were stopped."""
    dense = [step.dense for step in steps if step.dense is not None]
    pruned = [step.pruned for step in steps if step.pruned is not None]
    return Answered(
        dense="".join(dense),
        pruned="".join(pruned),
        dense_tokens=len(dense),
        pruned_tokens=len(pruned),
        first_divergence=next((step.index for step in steps if step.dense != step.pruned), None),
        seconds=seconds,
        stopped=True,
    )


def _say(out: TextIO, reply: BaseModel) -> None:
    out.write(reply.model_dump_json() + "\n")
    out.flush()


def _log_progress(stage: str, done: float, total: float, detail: str, files: object = ()) -> None:
    logging.getLogger(__name__).info("%s %s: %.0f of %.0f", _STAGES.get(stage, stage), detail, done, total)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m apt_core.runs.reader", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--dense", help="catalogue name, folder or Hub id of the model before pruning")
    which.add_argument("--dense-folder", type=Path, help="its folder, when another run made it")
    parser.add_argument("--revision", help="Hub revision of the dense model")
    parser.add_argument("--pruned", required=True, type=Path, help="folder of the pruned safetensors")
    parser.add_argument("--idle", type=float, default=300.0, help="seconds without a question before it ends")
    return parser


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sys.exit(main())
