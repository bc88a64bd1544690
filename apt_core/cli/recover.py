"""`recover`: queue a run that trains what another run pruned, follow it, print the curve and what it changed."""

from __future__ import annotations

import argparse

from apt_core.base import words
from apt_core.base.errors import BadInput
from apt_core.base.policy import LOCAL
from apt_core.cli.following import run_job
from apt_core.cli.options import check_job, fields_from, settings_from
from apt_core.cli.output import some_of, table
from apt_core.cli.resuming import check_finish, resumed
from apt_core.events.records import RunRecord
from apt_core.jobs import Job, Recover, make_job
from apt_core.jobs.parts import RUN_PREFIX
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store

_HEADS = ("step", "tokens", "training loss", "held-out loss", "learning rate", "time")
_BOUNDS = ("optimiser_steps",)  # that a recovery which goes on may have others of


def run(options: argparse.Namespace) -> int:
    launcher = Launcher(Store(), only=LOCAL)
    job = job_from(options, launcher.store)
    return run_job(launcher, job, options, report)


def job_from(options: argparse.Namespace, store: Store) -> Job:
    """The job that `recover` was asked for, checked as far as can be before anything starts."""
    check_finish(options)
    job = resumed(options, store, Recover, _BOUNDS) if options.resume else _new(options)
    check_job(job, options.policy, store)
    return job


def _new(options: argparse.Namespace) -> Job:
    if not options.run or not options.method:
        raise BadInput(
            "Give --run with the run to recover and --method; or --resume with a recovery that stopped."
        )
    fields = fields_from(options, "training")
    method = settings_from(options.set) | {"name": options.method}
    model = {"id": f"{RUN_PREFIX}{options.run.removeprefix(RUN_PREFIX)}"}
    return make_job("recover", **fields | {"model": model, "method": method})


def report(record: RunRecord) -> str:
    """The curve, a few of its points, and the perplexities before and after."""
    if not record.steps:
        return ""
    rows = [
        (
            *(str(one.step), f"{one.tokens:,}", words.number(one.loss), f"{one.held_out:.4f}"),
            *(f"{one.learning_rate:.2g}", words.duration(one.seconds)),
        )
        for one in some_of(record.steps)
    ]
    sides = ("dense", record.dense), ("before", record.before), ("recovered", record.made)
    said = ", ".join(f"{name} {words.number(one.perplexity)}" for name, one in sides if one)
    return f"Perplexity: {said} · run {record.id}\n\n{table(_HEADS, rows)}"
