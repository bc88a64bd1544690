"""A run that is queued here: followed to its end, with its exit status and messages."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from apt_core import events as ev
from apt_core.base.errors import exit_status_of
from apt_core.cli.output import print_json, say
from apt_core.cli.progress import ProgressLine
from apt_core.cli.resuming import going_on
from apt_core.events.records import RunRecord
from apt_core.jobs import Job
from apt_core.reports.as_json import asked_run_json, error_of
from apt_core.runs.launcher import Launcher

INTERRUPTED = 130
_STOP_SECONDS = 1.5  # that Ctrl-C waits for the end of a run


def run_job(
    launcher: Launcher, job: Job, options: argparse.Namespace, report: Callable[[RunRecord], str]
) -> int:
    """Queue the job, follow it, print its JSON or its report. Returns the exit status.

    report: what a run came to, in words; empty where there is nothing to show.
    """
    run_id = launcher.store.create(job)  # started by `follow`, which knows what to do on Ctrl-C
    record, interrupted = follow(launcher, run_id)
    if options.json:
        print_json(asked_run_json(record, options.policy, weights_of(launcher, record)))
    elif said := report(record):
        print(said)
    status = ended(error_of(record), interrupted)
    if kept := going_on(record, launcher.store):
        say(kept)
    return status


def follow(
    launcher: Launcher, run_id: str, on_interrupt: Callable[[], None] = lambda: None
) -> tuple[RunRecord, bool]:
    """(the record once the run has ended, whether Ctrl-C ended it). on_interrupt: what Ctrl-C does first."""
    line = ProgressLine()
    line.say(f"Run {run_id}")

    def draw(record: RunRecord) -> None:
        waiting = record.status == "queued"
        line.draw(record, launcher.store.position(run_id) if waiting else None)

    def on_event(stamped: ev.Stamped) -> None:
        if isinstance(stamped.event, ev.Warned):
            line.say(f"Warning: {stamped.event.message}")

    try:
        return launcher.wait(run_id, on_event, draw), False
    except KeyboardInterrupt:
        line.say("Stopping the run; press Ctrl-C again to leave it to end by itself.")
        on_interrupt()
        record = launcher.stop_run(run_id, _STOP_SECONDS)
        return record, True
    finally:
        line.clear()


def ended(error: dict[str, str] | None, interrupted: bool) -> int:
    """The exit status of a run, and its error on standard error."""
    if error is None:
        return 0
    say(error["message"])
    return INTERRUPTED if interrupted else exit_status_of(error["kind"])


def weights_of(launcher: Launcher, record: RunRecord) -> str | None:
    """The folder of what a run made, None where it made nothing."""
    checkpoint = launcher.store.checkpoint(record.id)
    return str(checkpoint) if checkpoint else None
