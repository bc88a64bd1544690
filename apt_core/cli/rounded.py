"""`rounded`: measure the dense and the pruned model rounded to a few bits, and print both ways to become smaller."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

from apt_core.base import words
from apt_core.base.errors import BadInput, exit_status_of
from apt_core.base.policy import LOCAL
from apt_core.cli.following import INTERRUPTED, follow
from apt_core.cli.options import check_job, check_terms, facts_for
from apt_core.cli.output import print_json, say, table
from apt_core.estimate.preflight import Estimate, estimate
from apt_core.events.records import RunRecord
from apt_core.jobs import Evaluate
from apt_core.jobs.study import Study
from apt_core.reports.as_json import error_of
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from apt_core.studies.curve import points_of
from apt_core.studies.named_runs import named_runs
from apt_core.studies.ratios import ratio_among, ratio_words
from apt_core.studies.rounded import references
from apt_core.studies.rounding import ROUNDING, comparable, rounding_jobs
from apt_core.studies.study_estimate import in_a_row

_HEADS = ("model", "size", "perplexity", "over dense", "run")


def run(options: argparse.Namespace) -> int:
    store = Store()
    records = named_runs(store, options.runs)
    jobs = rounding_jobs(records, store.list(), lambda run_id: store.checkpoint(run_id) is not None)
    if options.dry_run:
        return _plan(jobs, options, store)
    study, interrupted = None, False
    if jobs:
        needs = _checked(jobs, options, store)
        say(f"{_how_many(jobs)}{_about(needs)}.")
        launcher = Launcher(store, only=LOCAL)
        study = store.create_study(ROUNDING, jobs)  # started by `follow`, which hears Ctrl-C
        interrupted = _follow(launcher, study)
    return _end(store, records, study, interrupted, options.json)


def _checked(jobs: Sequence[Evaluate], options: argparse.Namespace, store: Store) -> Estimate:
    """What all of them take; raises BadInput for what cannot work, before anything is queued."""
    for job in jobs:
        if job.model.run is None:
            check_terms(job.model, accepted=False)
        check_job(job, options.policy, store)
    each = [estimate(job, facts_for(job, options.policy, store), policy=options.policy) for job in jobs]
    needs = in_a_row(each)
    if needs.refusal:
        raise BadInput(needs.refusal)
    return needs


def _plan(jobs: Sequence[Evaluate], options: argparse.Namespace, store: Store) -> int:
    """What `--dry-run` prints: the jobs and the estimate."""
    needs = _checked(jobs, options, store) if jobs else None
    asked = [{"model": job.model.id, "bits": job.rounding.number} for job in jobs]
    if options.json:
        told = needs.model_dump(include={"seconds", "memory_bytes"}) if needs else None
        print_json({"runs": asked, "estimate": told})
    else:
        say(f"{_how_many(jobs)}{_about(needs)}.")
        print(table(("model", "bits"), [(str(one["model"]), str(one["bits"])) for one in asked], 1))
    return 0


def _how_many(jobs: Sequence[Evaluate]) -> str:
    if not jobs:
        return "Everything was measured already"
    return "1 rounded model to measure" if len(jobs) == 1 else f"{len(jobs)} rounded models to measure"


def _about(needs: Estimate | None) -> str:
    return f", about {words.duration(needs.seconds)}" if needs and needs.seconds is not None else ""


def _follow(launcher: Launcher, study: Study) -> bool:
    """Wait for every run of the study; Ctrl-C ends all of them. Returns whether it did."""
    say(f"Study {study.id}")
    for run_id in study.runs:
        record, interrupted = follow(launcher, run_id, partial(launcher.store.cancel_study, study.id))
        if interrupted:
            return True
        say(f"{record.job.label} · {record.status}")
    return False


def _end(
    store: Store, records: Sequence[RunRecord], study: Study | None, interrupted: bool, as_json: bool
) -> int:
    """The table or the JSON, and the exit status: that of the first run that did not finish."""
    swept = [record for record in records if comparable(record)]
    measured = store.runs_of(study.id) if study else []
    models = _models(swept, store.list())
    if as_json:
        told = [one | {"ratio": one["ratio"].model_dump() if one["ratio"] else None} for one in models]
        print_json({"runs": [one.id for one in swept], "study": study.id if study else None, "models": told})
    else:
        rows = [
            (
                *(one["model"], words.size(one["bytes"]), words.number(one["perplexity"])),
                ratio_words(one["ratio"]),
                one["run"],
            )
            for one in models
        ]
        print(table(_HEADS, rows, 1))
    errors = [error for record in measured if (error := error_of(record))]
    for error in errors:
        say(error["message"])
    if interrupted:
        return INTERRUPTED
    return exit_status_of(errors[0]["kind"]) if errors else 0


def _models(swept: Sequence[RunRecord], others: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Pruned, rounded and as it was, by size; bytes that were not counted come last. ratio: to the dense model."""
    known = {record.id: record for record in (*others, *swept)}
    pruned = [
        {
            "model": one.label,
            "bits": None,
            "bytes": one.packed,
            "perplexity": one.perplexity,
            "ratio": ratio_among(known[one.run], swept),
            "run": one.run,
        }
        for one in points_of(swept)
    ]
    beside = [
        {
            "model": one.label,
            "bits": one.bits or None,
            "bytes": one.n_bytes,
            "perplexity": one.perplexity,
            "ratio": ratio_among(known[one.run], swept) if one.bits else None,
            "run": one.run,
        }
        for one in references(swept, others)
    ]
    return sorted([*pruned, *beside], key=lambda one: (one["bytes"] is None, -(one["bytes"] or 0)))
