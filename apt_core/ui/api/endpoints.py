"""What programs can ask the page for: each endpoint is a command of the command line and answers its `--json`.

An endpoint that queues a run answers at once, or waits some seconds for its end; the run goes on either way.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from apt_core.base.errors import BadInput, RunFailed, TermsNotAccepted
from apt_core.cli import evaluate as evaluate_command
from apt_core.cli import recover as recover_command
from apt_core.cli import search as search_command
from apt_core.cli.generate import question_from
from apt_core.cli.options import facts_for, prune_from
from apt_core.events import Failed
from apt_core.events.records import RunRecord
from apt_core.jobs import Job
from apt_core.jobs.parts import RUN_PREFIX
from apt_core.measure.questions import Answered
from apt_core.models.catalogue import entries
from apt_core.models.fetch import hub_token
from apt_core.reports.as_json import answer_json, labels_json, listed_run_json, report_json
from apt_core.reports.document import document_of
from apt_core.reports.html import to_html
from apt_core.reports.markdown import to_markdown
from apt_core.runs.ids import is_run_id
from apt_core.runs.query import Query
from apt_core.studies.compare import compare
from apt_core.studies.law_runs import recoveries_of
from apt_core.studies.named_runs import named_runs
from apt_core.studies.scaling_law import laws_json, laws_of
from apt_core.ui.api.arguments import Argument, arguments_of, options_of
from apt_core.ui.forms.form import open_terms
from apt_core.ui.studio import Studio

Answer = Callable[[Studio, argparse.Namespace, dict[str, Any]], Any]
MOST_SECONDS = 600  # that one call waits
MOST_PUBLIC_SECONDS = 20  # on a public host, where few calls are answered at the same time
MOST_RUNS = 200  # of one list
_LOOK_SECONDS = 0.3
_WAIT = Argument(
    "wait",
    int,
    f"seconds to wait for the end of the run, at most {MOST_SECONDS} ({MOST_PUBLIC_SECONDS} on a public host); "
    "0 answers at once (then ask 'run')",
    default=0,
)
_FORMAT = Argument(
    "format", Literal["markdown", "html"], "tables as text, or one file with charts", default="markdown"
)


class Endpoint(NamedTuple):
    """answer: of the studio, the options that the command line would have made, and what is no flag (`more`).

    without: flags of the command that say where on this machine something goes, or are of no use here. required: flags
    that the command line leaves open. fixed: options that callers cannot choose.
    """

    name: str
    command: tuple[str, ...]
    answer: Answer
    says: str
    returns: Any = dict
    without: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    fixed: Mapping[str, str] = MappingProxyType({})
    more: tuple[Argument, ...] = ()

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """Required ones first, as Python wants them."""
        flags = arguments_of(self.command, self.without | frozenset(self.fixed))
        asked = [one._replace(required=one.required or one.name in self.required) for one in flags]
        return (*sorted(asked, key=lambda one: not one.required), *self.more)

    def ask(self, studio: Studio, values: Mapping[str, Any]) -> Any:
        """Raises PruneError with one sentence."""
        more = {one.name: values[one.name] for one in self.more}
        flags = {name: value for name, value in values.items() if name not in more}
        return self.answer(studio, options_of(self.command, {**flags, **self.fixed}, studio.policy), more)


def models(studio: Studio, options: argparse.Namespace, more: dict[str, Any]) -> Any:
    """Without their places: gradio_client takes an object with a path for a file that it must fetch."""
    found = entries.list_models(studio.policy)
    return [{name: value for name, value in model.items() if name != "path"} for model in found]


def prune(studio: Studio, options: argparse.Namespace, more: dict[str, Any]) -> Any:
    _check_rights(studio, options)
    return _queued(studio, prune_from(options, studio.store), more["wait"])


def evaluate(studio: Studio, options: argparse.Namespace, more: dict[str, Any]) -> Any:
    _check_rights(studio, options)
    return _queued(studio, evaluate_command.job_from(options, studio.store), more["wait"])


def recover(studio: Studio, options: argparse.Namespace, more: dict[str, Any]) -> Any:
    if options.resume:
        studio.check_may_resume(options.resume)
    for run_id in filter(None, (options.run, options.resume)):
        studio.check_may_use(studio.record(run_id.removeprefix(RUN_PREFIX)).id)
    return _queued(studio, recover_command.job_from(options, studio.store), more["wait"])


def search(studio: Studio, options: argparse.Namespace, more: dict[str, Any]) -> Any:
    if options.resume:
        studio.check_may_resume(options.resume)
        studio.check_may_use(options.resume)
    if options.model:
        _check_rights(studio, options)
    return _queued(studio, search_command.job_from(options, studio.store), more["wait"])


def runs(studio: Studio, options: argparse.Namespace, more: dict[str, Any]) -> Any:
    query = Query(**{name: getattr(options, name) for name in Query.model_fields}).checked()
    shown = studio.runs_found(query)[0][: max(0, min(options.limit, MOST_RUNS))]
    found = {entry.run.id: labels_json(entry.labels) for entry in shown}
    records = studio.store.records(list(found))
    return [listed_run_json(record, studio.policy) | found[record.id] for record in records]


def run(studio: Studio, options: argparse.Namespace, more: dict[str, Any]) -> Any:
    return studio.as_json(studio.record(options.id)) | labels_json(studio.labels_of(options.id))


def compare_runs(studio: Studio, options: argparse.Namespace, more: dict[str, Any]) -> Any:
    return compare(studio.compared(options.runs).members, studio.policy).model_dump(mode="json")


def law(studio: Studio, options: argparse.Namespace, more: dict[str, Any]) -> Any:
    records = recoveries_of(named_runs(studio.store, options.runs), studio.made_from)
    studio.take_look()
    found = laws_of(records, options.within, seed=options.seed, known=studio.known)
    return laws_json(found, options.within)


def report(studio: Studio, options: argparse.Namespace, more: dict[str, Any]) -> Any:
    """The file itself is `text`; files are named without their folders, as a report goes to others."""
    forms = {"markdown": (to_markdown, "md"), "html": (to_html, "html")}
    if more["format"] not in forms:
        raise BadInput(f"A report is {' or '.join(forms)}, not {str(more['format'])[:40]!r}.")
    draw, ending = forms[more["format"]]
    document = document_of(named_runs(studio.store, options.runs), studio.title)
    text = draw(document)
    return report_json(f"{document.stem}.{ending}", document, text) | {"text": text}


def generate(studio: Studio, options: argparse.Namespace, more: dict[str, Any]) -> Any:
    question = question_from(options, options.prompt)
    if not is_run_id(options.run):
        raise BadInput(f"There is no run {options.run[:60]!r}; 'runs' lists those that exist.")
    studio.check_may_use(options.run)
    for reply in studio.ask(options.run, question):
        if isinstance(reply, Failed):
            raise RunFailed(reply.message)
        if isinstance(reply, Answered):
            return answer_json(options.run, None, question, reply)
    raise RunFailed("The process that holds both models ended without an answer; ask again.")


def _check_rights(studio: Studio, options: argparse.Namespace) -> None:
    """Raise BadInput for what another visitor's account made, TermsNotAccepted where this host asks every visitor anew;
    the rest is checked with the job."""
    if is_run_id(parent := options.model.removeprefix(RUN_PREFIX)):
        studio.check_may_use(parent)
    unread = open_terms(options.model, studio.policy) if studio.policy.public else None
    if unread and not options.accept_terms:
        raise TermsNotAccepted(f"Read the {unread.title} ({unread.url}), then ask with accept_terms=true.")


def _queued(studio: Studio, job: Job, wait: Any) -> dict[str, Any]:
    """The run of this job as it is once it has ended, or after `wait` seconds."""
    seconds = min(_seconds(wait), MOST_PUBLIC_SECONDS if studio.policy.public else MOST_SECONDS)
    facts = facts_for(job, studio.policy, studio.store)
    run_id = studio.submit([job], hub_token.handed() if facts.needs_account else None)
    return studio.asked_as_json(_once_ended(studio, run_id, seconds))


def _seconds(wait: Any) -> int:
    if isinstance(wait, bool) or not isinstance(wait, int) or not 0 <= wait <= MOST_SECONDS:
        raise BadInput(f"wait is a number of seconds from 0 to {MOST_SECONDS}, not {str(wait)[:40]!r}.")
    return wait


def _once_ended(studio: Studio, run_id: str, seconds: int) -> RunRecord:
    until = time.monotonic() + seconds
    while (record := studio.record(run_id)).live and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
    return record


ENDPOINTS = (
    Endpoint("models", ("models",), models, "The models that have a name here.", returns=list),
    Endpoint(
        "prune",
        ("prune",),
        prune,
        "Prune a model and measure what it costs: queues a run.",
        without=frozenset({"out", "race"}),
        more=(_WAIT,),
    ),
    Endpoint(
        "evaluate",
        ("evaluate",),
        evaluate,
        "Measure the perplexity of a model, or of what a run made (run:ID): queues a run.",
        more=(_WAIT,),
    ),
    Endpoint(
        "recover",
        ("recover",),
        recover,
        "Train what a run pruned, every zero kept, and measure it before and after: queues a run.",
        more=(_WAIT,),
    ),
    Endpoint(
        "search",
        ("search",),
        search,
        "Try many smaller models of one size, make the best of them and measure it: queues a run.",
        more=(_WAIT,),
    ),
    Endpoint("runs", ("runs",), runs, "The newest runs, without their layers; 'run' has all.", returns=list),
    Endpoint("run", ("runs", "show"), run, "One run with all its numbers, finished or not."),
    Endpoint(
        "compare",
        ("compare",),
        compare_runs,
        "Two to twelve runs side by side: fields that differ, perplexities, each paired with the first.",
    ),
    Endpoint(
        "law",
        ("law",),
        law,
        "The power law of recoveries, or of those that a study or run led to: its constants, and tokens until a loss.",
    ),
    Endpoint(
        "report",
        ("report",),
        report,
        "The report of a run, a study, or several runs with commas, as text.",
        without=frozenset({"html", "force"}),
        fixed=MappingProxyType({"markdown": "in memory"}),
        more=(_FORMAT,),
    ),
    Endpoint(
        "generate",
        ("generate",),
        generate,
        "Ask the dense and the pruned model of a run the same question, with the same random numbers.",
        without=frozenset({"pruned", "dense"}),
        required=frozenset({"run"}),
    ),
)
