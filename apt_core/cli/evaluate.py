"""`evaluate`: queue a run that measures a model on any number of texts, follow it, print what came out."""

from __future__ import annotations

import argparse

from apt_core.base import words
from apt_core.base.policy import LOCAL
from apt_core.cli.following import run_job
from apt_core.cli.options import check_job, check_terms, fields_from, model_from
from apt_core.cli.output import table
from apt_core.events.records import RunRecord
from apt_core.jobs import Job, ModelRef, make_job
from apt_core.jobs.parts import RUN_PREFIX
from apt_core.runs.ids import is_run_id
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store

_TASK_HEADS = ("task", "metric", "value", "standard error", "examples", "shots", "version")
_HEADS = ("text", "perplexity", "95% interval", "windows", "tokens each")


def run(options: argparse.Namespace) -> int:
    launcher = Launcher(Store(), only=LOCAL)
    job = job_from(options, launcher.store)
    return run_job(launcher, job, options, lambda record: as_text(record, options.model))


def job_from(options: argparse.Namespace, store: Store) -> Job:
    """The job that `evaluate` was asked for, checked as far as can be before anything starts."""
    model = _model(options, store)
    if model.run is None:
        check_terms(model, options.accept_terms)
    job = make_job("evaluate", **fields_from(options) | {"model": model.model_dump()})
    check_job(job, options.policy, store)
    return job


def _model(options: argparse.Namespace, store: Store) -> ModelRef:
    """A run by its id alone or as run:<id>; anything else as `prune` takes it."""
    text = f"{RUN_PREFIX}{options.model}" if is_run_id(options.model) else options.model
    ref = model_from(text, options.revision, options.policy)
    if ref.run is not None:
        store.made_by(ref.run)  # raises UnknownRun, BadInput
    return ref


def as_text(record: RunRecord, model: str) -> str:
    if not record.evaluated:
        return ""
    rows = [
        (
            one.text,
            words.number(one.perplexity) + (" (reused)" if one.reused else ""),
            f"{words.number(one.low)} to {words.number(one.high)}" if one.low is not None else words.DASH,
            str(one.windows),
            str(one.length),
        )
        for one in record.evaluated
    ]
    protocol = record.evaluated[0].protocol
    rounded = f"{words.rounding(record.rounded)}; " if record.rounded else ""
    apart = "".join(f"\n\nIt {words.agreement(one)}." for one in record.diverged)
    tasks = f"\n\n{_tasks(record)}" if record.scored else ""
    head = f"Perplexity of {model} ({rounded}{protocol}) · run {record.id}"
    return f"{head}\n\n{table(_HEADS, rows)}{apart}{tasks}"


def _tasks(record: RunRecord) -> str:
    rows = [
        (
            *(one.task, one.metric, words.number(one.value)),
            f"{words.number(one.stderr)}" if one.stderr is not None else words.DASH,
            *(str(one.examples), str(one.shots), one.version),
        )
        for one in record.scored
    ]
    return f"Zero-shot tasks by {record.scored[0].harness}\n\n{table(_TASK_HEADS, rows, left=2)}"
