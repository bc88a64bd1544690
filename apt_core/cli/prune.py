"""`prune`: queue a run, follow it, print what came out."""

from __future__ import annotations

import argparse

from apt_core.base.errors import BadInput
from apt_core.base.policy import LOCAL
from apt_core.cli.following import ended, follow
from apt_core.cli.options import pruning_from
from apt_core.cli.output import print_json
from apt_core.cli.race import run_race
from apt_core.cli.report import report
from apt_core.jobs import Prune, Pruning
from apt_core.jobs.kinds import prunes
from apt_core.reports.as_json import asked_run_json, error_of
from apt_core.reports.writing import copy_of_a_run, free_folder
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from apt_core.studies.race import line_up


def run(options: argparse.Namespace) -> int:
    out = free_folder(options.out) if options.out is not None else None
    job = pruning_from(options)
    launcher = Launcher(Store(), only=LOCAL)
    if options.race is not None:
        return run_race(launcher, _race(job, options), options.json, options.policy)
    run_id = launcher.store.create(job)  # started by `follow`, which knows what to do on Ctrl-C
    record, interrupted = follow(launcher, run_id)
    error = error_of(record)
    checkpoint = launcher.store.checkpoint(run_id)
    if checkpoint and out and error is None:
        checkpoint = copy_of_a_run(checkpoint, out, record)
    where = str(checkpoint) if checkpoint else None
    if options.json:
        print_json(asked_run_json(record, options.policy, where))
    else:
        print(report(record, where))
    return ended(error, interrupted)


def _race(job: Pruning, options: argparse.Namespace) -> list[Prune]:
    """The chosen method's job, then those of the methods that `--race` names; raises BadInput."""
    if options.out is not None:
        raise BadInput("--out takes one result, and a race has several; leave one of the two away.")
    if not prunes(job):
        raise BadInput(
            f"A race compares methods that leave the same weights in place, and {job.method.title} makes a smaller "
            "model; leave --race out and use 'compare'."
        )
    return line_up(job, [name.strip() for name in options.race.split(",") if name.strip()])
