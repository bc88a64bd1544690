"""`ask`: several prompts to the models of one or more runs, as one record; the page gives out the same."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from apt_core.base.errors import BadInput, exit_status_of
from apt_core.cli.generate import on_ctrl_c, printable, question_from
from apt_core.cli.output import count_line, print_json, say
from apt_core.measure.answer_set import AnswerSet, prompts_in
from apt_core.measure.questions import Question
from apt_core.reports.answer_sheet import answer_sheet, as_markdown, note_of, settings_of
from apt_core.reports.writing import check_file, new_file
from apt_core.runs.asking_many import AskingMany, Progress
from apt_core.runs.ids import check_id
from apt_core.runs.reading import Reader
from apt_core.runs.store import Store
from apt_core.studies.names import names_of

_DENSE = "Dense"
_LONGEST_FILE = 1_000_000  # bytes that are read at all


def run(options: argparse.Namespace) -> int:
    store = Store()
    prompts = prompts_in(_text(options))
    question = question_from(options, prompts[0])
    for file in _files(options):
        check_file(file, options.force)
    reader = Reader(store)
    record = record_of(store, reader, options.run, question, len(prompts))
    first, *others = record.runs
    try:
        last = _follow(AskingMany(lambda each: reader.ask(first, each, others), question, prompts, record))
    finally:
        reader.close()
    if last.done.rows:
        _write(last.done, options)
    if last.failed is not None:
        say(last.failed.message)
        if options.json:
            error = {"kind": last.failed.reason, "message": last.failed.message}
            print_json({"error": error, "answers": last.done.model_dump(mode="json")})
        return exit_status_of(last.failed.reason)
    if options.json:
        print_json(last.done.model_dump(mode="json"))
    else:
        print(as_text(last.done))
    return 0


def record_of(store: Store, reader: Reader, run_ids: list[str], question: Question, asked: int) -> AnswerSet:
    """The record of these runs before anything is answered; raises BadInput for what cannot be asked."""
    reader.check([check_id(run_id) for run_id in run_ids])
    records = [store.get(run_id) for run_id in run_ids]
    names = names_of(records)
    pruned = [names[run_id] for run_id in run_ids] if len(run_ids) > 1 else ["Pruned"]
    return AnswerSet.of(run_ids, [_DENSE, *pruned], question, asked)


def _text(options: argparse.Namespace) -> str:
    """The file of prompts as it is."""
    if options.prompts == "-":
        return sys.stdin.read()
    try:
        with Path(options.prompts).expanduser().open("rb") as file:
            return file.read(_LONGEST_FILE).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{options.prompts} is not UTF-8 text; save it as UTF-8.") from error
    except (OSError, ValueError, RuntimeError) as error:  # a NUL byte, an unknown home
        reason = getattr(error, "strerror", None) or error
        raise BadInput(
            f"{options.prompts[:120]} cannot be read ({reason}); name a file with a prompt a line."
        ) from error


def _files(options: argparse.Namespace) -> list[Path]:
    files = [Path(file).expanduser().resolve() for file in (options.csv, options.markdown) if file]
    if len(set(files)) < len(files):
        raise BadInput("--csv and --markdown name the same file; name two.")
    return files


def _write(record: AnswerSet, options: argparse.Namespace) -> None:
    """Raises CannotWrite with one sentence."""
    for named, text in (
        (options.csv, answer_sheet(record).as_csv()),
        (options.markdown, as_markdown(record)),
    ):
        if named:
            with new_file(Path(named).expanduser().resolve(), options.force) as partial:
                partial.write_text(text, encoding="utf-8")


def _follow(asking: AskingMany) -> Progress:
    """To the last reply; Ctrl-C ends with what there is so far, a second one aborts."""
    say("Loading the models ...")
    with on_ctrl_c(asking.stop):
        for now in asking:
            if now.ended:
                count_line("")
                return now
            count_line(f"prompt {now.place + 1} of {now.done.asked}, {now.tokens} tokens")
    raise RuntimeError("the prompts ended without a last message")


def as_text(record: AnswerSet) -> str:
    parts = []
    for row in record.rows:
        said = [f"{one.model} ({note_of(one, row)}):\n{printable(one.text.strip())}" for one in row.answers]
        parts.append("\n\n".join([f"> {printable(row.prompt)}", *(said or [row.error])]))
    return "\n\n\n".join([*parts, settings_of(record)])
