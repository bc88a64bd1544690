"""`generate`: one question to the dense and the pruned model, with the same random numbers."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from apt_core.base.errors import BadInput, exit_status_of, one_sentence
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.base.words import number, percent
from apt_core.cli.options import model_from
from apt_core.cli.output import count_line, print_json, say, table
from apt_core.cli.progress import stage_words
from apt_core.events import Answers, Failed, Progress
from apt_core.events.asking import is_cut
from apt_core.jobs import ModelRef, read_job
from apt_core.measure.questions import Answered, Question, Scored, Sides, Step
from apt_core.models.checkpoint.headers import check
from apt_core.reports.as_json import answer_json
from apt_core.reports.writing import JOB_COPY
from apt_core.runs.asked import keep
from apt_core.runs.asking import Asking
from apt_core.runs.ids import check_id
from apt_core.runs.reading import Reader
from apt_core.runs.store import Store


def run(options: argparse.Namespace) -> int:
    prompt = sys.stdin.read() if options.prompt == "-" else options.prompt
    question = question_from(options, prompt)
    if options.run and options.dense:
        raise BadInput("--dense goes with --pruned; a run knows its dense model.")
    reader, scored = Reader(Store()), None
    try:
        asked = _models(reader, options)
        last = _last(asked.ask(question))
        if options.gaps and isinstance(last, Answered) and last.dense_ids:
            scored = _last_of(asked.score(question, last.dense_ids))
    finally:
        reader.close()
    for reply in (last, scored):
        if isinstance(reply, Failed):
            return _failed(reply, options.json)
    assert isinstance(last, Answered) and not isinstance(scored, Failed)
    if options.run:
        keep(Store().folder(options.run), Answers(question=question, answered=last))
    if options.json:
        found = answer_json(options.run, options.pruned, question, last)
        print_json(found | ({"gaps": gaps_as_json(scored)} if options.gaps else {}))
    else:
        print("\n\n".join([_as_text(last, question), *([gaps_as_text(scored)] if scored else [])]))
    return 0


def _failed(failed: Failed, as_json: bool) -> int:
    say(failed.message)
    if as_json:
        print_json({"error": {"kind": failed.reason, "message": failed.message}})
    return exit_status_of(failed.reason)


def gaps_as_json(scored: Scored | None) -> dict[str, Any] | None:
    """None where there was no answer to score."""
    if scored is None:
        return None
    tokens = [
        {"text": token.text, "dense": token.dense, "pruned": token.pruned[0], "kl": token.kl[0]}
        for token in scored.tokens
    ]
    return {"mean_kl": scored.mean_kl(0), "tokens": tokens}


def gaps_as_text(scored: Scored) -> str:
    """The dense answer token by token; KL in nats."""
    rows = [
        (
            str(place),
            printable(token.text).replace("\n", "\\n"),
            percent(token.dense),
            percent(token.pruned[0]),
            number(token.kl[0]),
        )
        for place, token in enumerate(scored.tokens, start=1)
    ]
    mean = f"The dense answer run through the pruned model: mean KL {number(scored.mean_kl(0))} nats a token."
    return f"{mean}\n{table(('place', 'token', 'dense', 'pruned', 'KL'), rows, left=2)}"


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
    """The model that a copied checkpoint was pruned from; raises BadInput where that is not known."""
    if named:
        return model_from(named, policy=policy)
    for file in (folder / JOB_COPY, folder.parent / "recipe.json"):
        try:
            return read_job(file.read_text(encoding="utf-8")).model
        except (OSError, ValueError, BadInput):
            continue  # not there, or not ours: the next place may say it
    raise BadInput(f"{folder} does not say which model it was pruned from; name it with --dense.")


class _Models(NamedTuple):
    """What the options name, as something to ask."""

    ask: Callable[[Question], Asking]
    score: Callable[[Question, Sequence[int]], Asking]


def _models(reader: Reader, options: argparse.Namespace) -> _Models:
    if options.run:
        run_id = check_id(options.run)
        return _Models(partial(reader.ask, run_id), partial(reader.score, run_id))
    folder = Path(options.pruned).expanduser().resolve()
    check(folder)
    dense = dense_of(folder, options.dense, options.policy)
    model = Store().made_by(dense.run).folder if dense.run else dense
    sides = Sides(dense=model, pruned=(folder,))
    return _Models(partial(reader.ask_sides, sides), partial(reader.score_sides, sides))


def _last_of(replies: Asking) -> Scored | Failed:
    say("Running the dense answer through both models ...")
    *_, last = replies
    assert isinstance(last, Scored | Failed)
    return last


def _last(replies: Asking) -> Answered | Failed:
    """Follow the replies to the last one; Ctrl-C ends with what there is so far, a second one aborts."""
    say("Loading both models ...")
    count = 0
    with on_ctrl_c(replies.stop):
        for reply in replies:
            if isinstance(reply, Answered | Failed):
                count_line("")
                return reply
            count += isinstance(reply, Step)
            count_line(stage_words(reply) if isinstance(reply, Progress) else f"{count} tokens")
    raise RuntimeError("the reader ended without an answer")


@contextlib.contextmanager
def on_ctrl_c(action: Callable[[], None]) -> Iterator[None]:
    """A KeyboardInterrupt inside a generator would end it; this asks it to finish instead."""

    def once(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        action()

    before = signal.signal(signal.SIGINT, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _as_text(answer: Answered, question: Question) -> str:
    if answer.first_divergence is None:
        difference = "Both answers are the same, token by token."
    else:
        difference = f"First difference at token {answer.first_divergence + 1}."
    stopped = " Stopped early." if answer.stopped else ""
    said = [
        f"{name}{' (cut at the limit)' if is_cut(side, question) and not answer.stopped else ''}:\n"
        f"{printable(side.text.strip())}\n\n"
        for name, side in zip(("Dense", "Pruned"), answer.sides, strict=True)
    ]
    return f"{''.join(said)}{difference}{stopped}"


def printable(text: str) -> str:
    """What a model writes must not be able to steer the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)
