"""`recover`: queue a run that trains what another run pruned, follow it, print the curve and what it changed."""

from __future__ import annotations

import argparse
from typing import Any

from apt_core.base import words
from apt_core.base.errors import BadInput
from apt_core.cli.flags import given
from apt_core.cli.following import ended, follow, weights_of
from apt_core.cli.options import check_job, evaluations_from, settings_from, text_from
from apt_core.cli.output import print_json, table
from apt_core.events.records import RunRecord
from apt_core.jobs import Job, Recover, make_job
from apt_core.jobs.parts import RUN_PREFIX
from apt_core.reports.as_json import asked_run_json, error_of
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store

_HEADS = ("step", "tokens", "training loss", "held-out loss", "learning rate", "time")
_SHOWN = 12  # points of the curve


def run(options: argparse.Namespace) -> int:
    launcher = Launcher(Store())
    job = job_from(options, launcher.store)
    run_id = launcher.store.create(job)  # started by `follow`, which knows what to do on Ctrl-C
    record, interrupted = follow(launcher, run_id)
    if options.json:
        print_json(asked_run_json(record, options.policy, weights_of(launcher, record)))
    elif record.steps:
        print(report(record))
    return ended(error_of(record), interrupted)


def job_from(options: argparse.Namespace, store: Store) -> Job:
    """The job that `recover` was asked for, checked as far as can be before anything starts."""
    if options.resume:
        job = _resumed(options, store)
    else:
        if not options.run or not options.method:
            raise BadInput(
                "Give --run with the run to recover and --method; or --resume with a recovery that stopped."
            )
        fields = given(options)
        if "text" in fields.get("training", {}):
            fields["training"]["text"] = text_from(fields["training"]["text"], options.policy)
        fields["evaluation"] = [one.model_dump() for one in evaluations_from(options)]
        method = settings_from(options.set) | {"name": options.method}
        model = {"id": f"{RUN_PREFIX}{options.run.removeprefix(RUN_PREFIX)}"}
        job = make_job("recover", **fields | {"model": model, "method": method})
    check_job(job, options.policy, store)
    return job


def _resumed(options: argparse.Namespace, store: Store) -> Job:
    """The job of a recovery that stopped, to go on from the state that it has kept; --steps may be other ones."""
    before = store.get(options.resume).job
    if not isinstance(before, Recover):
        raise BadInput(f"Run {options.resume} is no recovery; --resume takes one that stopped.")
    store.training_of(options.resume)  # raises BadInput
    changes: dict[str, Any] = {"resume": options.resume}
    if options.optimiser_steps is not None:
        changes["optimiser_steps"] = options.optimiser_steps
    return make_job(**before.model_dump() | changes)


def report(record: RunRecord) -> str:
    """The curve, a few of its points, and the perplexities before and after."""
    every = max(1, len(record.steps) // _SHOWN)
    points = [one for place, one in enumerate(record.steps) if place % every == 0 or one is record.steps[-1]]
    rows = [
        (
            *(str(one.step), f"{one.tokens:,}", words.number(one.loss), f"{one.held_out:.4f}"),
            *(f"{one.learning_rate:.2g}", words.duration(one.seconds)),
        )
        for one in points
    ]
    sides = ("dense", record.dense), ("before", record.before), ("recovered", record.made)
    said = ", ".join(f"{name} {words.number(one.perplexity)}" for name, one in sides if one)
    return f"Perplexity: {said} · run {record.id}\n\n{table(_HEADS, rows)}"
