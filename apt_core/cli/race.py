"""`prune --race`: one run after another, then one small table."""

from __future__ import annotations

from apt_core.base import words
from apt_core.base.policy import HostPolicy
from apt_core.cli.following import ended, follow, weights_of
from apt_core.cli.output import print_json, table
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune
from apt_core.reports.as_json import asked_run_json, error_of
from apt_core.runs.launcher import Launcher
from apt_core.studies.race import RACE, pruned_whole

_HEADS = ("method", "status", "perplexity", "ratio", "mean error", "prune, s", "run")


def run_race(launcher: Launcher, jobs: list[Prune], as_json: bool, policy: HostPolicy) -> int:
    """Run these jobs as one study; a run that fails does not keep the others from theirs, Ctrl-C does.

    Returns the exit status of the first that did not finish.
    """
    study = launcher.store.create_study(RACE, jobs)  # started by `follow`, which knows what to do on Ctrl-C
    records: list[RunRecord] = []
    interrupted = False
    for place, run_id in enumerate(study.runs):
        record, interrupted = follow(launcher, run_id)
        records.append(record)
        if interrupted:
            for waiting in study.runs[place + 1 :]:
                launcher.store.request_cancel(waiting)
            break
    if as_json:
        print_json([asked_run_json(record, policy, weights_of(launcher, record)) for record in records])
    else:
        print(table(_HEADS, list(map(_row, records)), 2))
    statuses = [ended(error_of(record), interrupted and record is records[-1]) for record in records]
    return next((status for status in statuses if status), 0)


def _row(record: RunRecord) -> tuple[str, ...]:
    finished = record.finished
    return (
        record.pruning.method.label,
        record.status,
        words.number(record.pruned.perplexity if record.pruned else None),
        words.times(record.ratio),
        words.number(record.mean_relative_error) if pruned_whole(record) else words.DASH,
        words.number(finished.seconds.get("prune")) if finished else words.DASH,
        record.id,
    )
