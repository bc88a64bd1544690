"""`generate`: one question to the dense and the pruned model, with the same random numbers."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from apt_core.base.errors import BadInput, exit_status_of, one_sentence
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.cli.options import model_from
from apt_core.cli.output import print_json, say
from apt_core.cli.prune import JOB_COPY
from apt_core.events import Failed
from apt_core.jobs import ModelRef, read_job
from apt_core.measure.questions import Answered, Question, Step
from apt_core.models.checkpoint.headers import check
from apt_core.reports.as_json import answer_json
from apt_core.runs.ids import check_id
from apt_core.runs.reading import Asking, Pair, Reader
from apt_core.runs.store import Store


def run(options: argparse.Namespace) -> int:
    prompt = sys.stdin.read() if options.prompt == "-" else options.prompt
    question = question_from(options, prompt)
    if options.run and options.dense:
        raise BadInput("--dense goes with --pruned; a run knows its dense model.")
    reader = Reader(Store())
    try:
        last = _last(_ask(reader, options, question))
    finally:
        reader.close()
    if isinstance(last, Failed):
        say(last.message)
        if options.json:
            print_json({"error": {"kind": last.reason, "message": last.message}})
        return exit_status_of(last.reason)
    if options.json:
        print_json(answer_json(options.run, options.pruned, question, last))
    else:
        print(_as_text(last))
    return 0


def question_from(options: argparse.Namespace, prompt: str) -> Question:
    """Raises BadInput with one sentence."""
    given = {
        "max_tokens": options.max_tokens,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "seed": options.seed,
    }
    try:
        return Question(
            prompt=prompt,
            chat=not options.no_chat,
            **{name: value for name, value in given.items() if value is not None},
        )
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("prompt",):
            raise BadInput("The prompt must have between 1 and 20,000 characters.") from error
        raise BadInput(one_sentence(error)) from error


def dense_of(folder: Path, named: str | None, policy: HostPolicy = STRICT) -> ModelRef:
    """The model that a copied checkpoint was pruned from; raises BadInput when nobody says."""
    if named:
        return model_from(named, policy=policy)
    for file in (folder / JOB_COPY, folder.parent / "recipe.json"):
        try:
            return read_job(file.read_text(encoding="utf-8")).model
        except (OSError, ValueError, BadInput):
            continue  # not there, or not ours: the next place may say it
    raise BadInput(f"{folder} does not say which model it was pruned from; name it with --dense.")


def _ask(reader: Reader, options: argparse.Namespace, question: Question) -> Asking:
    if options.run:
        return reader.ask(check_id(options.run), question)
    folder = Path(options.pruned).expanduser().resolve()
    check(folder)
    dense = dense_of(folder, options.dense, options.policy)
    model = Store().made_by(dense.run).folder if dense.run else dense
    return reader.ask_pair(Pair(model, folder), question)


def _last(replies: Asking) -> Answered | Failed:
    """Follow the replies to the last one; Ctrl-C takes what there is so far, a second one breaks off."""
    say("Loading both models ...")
    count = 0
    with _on_ctrl_c(replies.stop):
        for reply in replies:
            if isinstance(reply, Answered | Failed):
                _count_line("")
                return reply
            count += isinstance(reply, Step)
            _count_line(f"{count} tokens")
    raise RuntimeError("the reader ended without an answer")


def _count_line(text: str) -> None:
    """One changing line in a terminal, nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


@contextlib.contextmanager
def _on_ctrl_c(action: Callable[[], None]) -> Iterator[None]:
    """A KeyboardInterrupt inside a generator would end it; this asks it to finish instead."""

    def once(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        action()

    before = signal.signal(signal.SIGINT, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _as_text(answer: Answered) -> str:
    if answer.first_divergence is None:
        difference = "Both answers are the same, token by token."
    else:
        difference = f"The answers part at token {answer.first_divergence + 1}."
    stopped = " Stopped early." if answer.stopped else ""
    dense, pruned = (_printable(text.strip()) for text in (answer.dense, answer.pruned))
    return f"Dense:\n{dense}\n\nPruned:\n{pruned}\n\n{difference}{stopped}"


def _printable(text: str) -> str:
    """What a model writes must not be able to steer the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)
