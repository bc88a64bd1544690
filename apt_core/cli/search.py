"""`search`: queue a run that tries many smaller models of one size, follow it, print the generations and the gain."""

from __future__ import annotations

import argparse

from apt_core.base import words
from apt_core.base.errors import BadInput
from apt_core.base.policy import LOCAL
from apt_core.cli.following import run_job
from apt_core.cli.options import check_job, check_terms, fields_from, model_from
from apt_core.cli.output import some_of, table
from apt_core.cli.resuming import check_finish, resumed
from apt_core.events.records import RunRecord
from apt_core.jobs import Job, Search, make_job
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from apt_core.studies.search_gain import gain_sentence

_HEADS = ("generation", "tried", "best perplexity", "blocks", "heads", "MLP width", "time")
_BOUNDS = ("minutes", "generations")  # that a search which goes on may have others of


def run(options: argparse.Namespace) -> int:
    launcher = Launcher(Store(), only=LOCAL)
    job = job_from(options, launcher.store)
    return run_job(launcher, job, options, report)


def job_from(options: argparse.Namespace, store: Store) -> Job:
    """The job that `search` was asked for, checked as far as can be before anything starts."""
    check_finish(options)
    job = resumed(options, store, Search, _BOUNDS) if options.resume else _new(options)
    check_terms(job.model, options.accept_terms)
    check_job(job, options.policy, store)
    return job


def _new(options: argparse.Namespace) -> Job:
    if not options.model:
        raise BadInput("Give --model with the model to make smaller; or --resume with a search that stopped.")
    model = model_from(options.model, options.revision, options.policy).model_dump()
    return make_job("search", **fields_from(options, "calibration") | {"model": model})


def report(record: RunRecord) -> str:
    """A few of the generations, the perplexities, and whether the search gained anything."""
    if not record.generations:
        return ""
    rows = [
        (
            *(str(one.number), f"{one.tried:,}", words.number(one.best.perplexity), str(one.best.blocks)),
            *(str(one.best.heads), f"{one.best.channels:,}", words.duration(one.seconds)),
        )
        for one in some_of(record.generations)
    ]
    sides = ("dense", record.dense), ("uniform widths", record.start), ("found", record.made)
    said = ", ".join(f"{name} {words.number(one.perplexity)}" for name, one in sides if one)
    lines = [f"Perplexity: {said} · run {record.id}" if said else f"Run {record.id}", gain_sentence(record)]
    return "\n".join(filter(None, lines)) + f"\n\n{table(_HEADS, rows)}"
