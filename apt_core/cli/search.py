"""`search`: queue a run that tries many smaller models of one size, follow it, print the generations and the gain."""

from __future__ import annotations

import argparse
from typing import Any

from apt_core.base import words
from apt_core.base.errors import BadInput
from apt_core.cli.flags import given
from apt_core.cli.following import ended, follow, weights_of
from apt_core.cli.options import check_job, check_terms, evaluations_from, model_from, text_from
from apt_core.cli.output import print_json, table
from apt_core.events.records import RunRecord
from apt_core.jobs import Job, Search, make_job
from apt_core.reports.as_json import asked_run_json, error_of
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from apt_core.studies.search_gain import gain_sentence

_HEADS = ("generation", "tried", "best perplexity", "blocks", "heads", "MLP width", "time")
_SHOWN = 12  # generations


def run(options: argparse.Namespace) -> int:
    launcher = Launcher(Store())
    job = job_from(options, launcher.store)
    run_id = launcher.store.create(job)  # started by `follow`, which knows what to do on Ctrl-C
    record, interrupted = follow(launcher, run_id)
    if options.json:
        print_json(asked_run_json(record, options.policy, weights_of(launcher, record)))
    elif record.generations:
        print(report(record))
    return ended(error_of(record), interrupted)


def job_from(options: argparse.Namespace, store: Store) -> Job:
    """The job that `search` was asked for, checked as far as can be before anything starts."""
    job = _resumed(options, store) if options.resume else _new(options)
    check_terms(job.model, options.accept_terms)
    check_job(job, options.policy, store)
    return job


def _new(options: argparse.Namespace) -> Job:
    if not options.model:
        raise BadInput("Give --model with the model to make smaller; or --resume with a search that stopped.")
    fields = given(options)
    if "text" in fields.get("calibration", {}):
        fields["calibration"]["text"] = text_from(fields["calibration"]["text"], options.policy)
    fields["model"] = model_from(options.model, options.revision, options.policy).model_dump()
    fields["evaluation"] = [one.model_dump() for one in evaluations_from(options)]
    return make_job("search", **fields)


def _resumed(options: argparse.Namespace, store: Store) -> Job:
    """The job of a search that stopped, to go on from the population that it has kept; its bounds may be others."""
    before = store.get(options.resume).job
    if not isinstance(before, Search):
        raise BadInput(f"Run {options.resume} is no search; --resume takes one that stopped.")
    store.training_of(options.resume)  # raises BadInput
    changes: dict[str, Any] = {"resume": options.resume}
    for bound in ("minutes", "generations"):
        if (value := getattr(options, bound)) is not None:
            changes[bound] = value
    return make_job(**before.model_dump() | changes)


def report(record: RunRecord) -> str:
    """A few of the generations, the perplexities, and whether the search gained anything."""
    found = record.generations
    every = max(1, len(found) // _SHOWN)
    rows = [
        (
            *(str(one.number), f"{one.tried:,}", words.number(one.best.perplexity), str(one.best.blocks)),
            *(str(one.best.heads), f"{one.best.channels:,}", words.duration(one.seconds)),
        )
        for place, one in enumerate(found)
        if place % every == 0 or one is found[-1]
    ]
    sides = ("dense", record.dense), ("uniform widths", record.start), ("found", record.made)
    said = ", ".join(f"{name} {words.number(one.perplexity)}" for name, one in sides if one)
    lines = [f"Perplexity: {said} · run {record.id}" if said else f"Run {record.id}", gain_sentence(record)]
    return "\n".join(filter(None, lines)) + f"\n\n{table(_HEADS, rows)}"
