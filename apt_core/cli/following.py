"""A run that was queued here: followed to its end, and what is said of that end."""

from __future__ import annotations

from collections.abc import Callable

from apt_core import events as ev
from apt_core.base.errors import exit_status_of
from apt_core.cli.output import say
from apt_core.cli.progress import ProgressLine
from apt_core.events.records import RunRecord
from apt_core.runs.launcher import Launcher

INTERRUPTED = 130


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
        launcher.store.request_cancel(run_id)
        return launcher.wait(run_id, on_tick=draw), True
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
