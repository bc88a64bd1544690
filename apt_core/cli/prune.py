"""`prune`: queue a run, follow it, print what came out."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from apt_core import events as ev
from apt_core.cli.output import print_json, say
from apt_core.cli.progress import ProgressLine
from apt_core.cli.recipes import recipe_from
from apt_core.cli.report import report
from apt_core.errors import BadInput, DiskFull, PruneError, exit_status_of
from apt_core.records import RunRecord, summary
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from apt_core.runs.worker_errors import is_disk_full

INTERRUPTED = 130
RECIPE_FILE = "apt_recipe.json"  # beside a copied checkpoint: says which model is its dense one


def run(options: argparse.Namespace) -> int:
    out = _free_folder(options.out)
    recipe = recipe_from(options)
    launcher = Launcher(Store())
    run_id = launcher.store.create(recipe)  # started by `follow`, which knows what to do on Ctrl-C
    record, interrupted = follow(launcher, run_id)
    error = _error_of(record)
    checkpoint = launcher.store.checkpoint(run_id)
    if checkpoint and out and error is None:
        checkpoint = _copy(checkpoint, out, record)
    if options.json:
        told = summary(record) | {"checkpoint": str(checkpoint) if checkpoint else None}
        print_json(told | ({"error": error} if error else {}))
    else:
        print(report(record, str(checkpoint) if checkpoint else None))
    if error is None:
        return 0
    say(error["message"])
    return INTERRUPTED if interrupted else exit_status_of(error["kind"])


def follow(launcher: Launcher, run_id: str) -> tuple[RunRecord, bool]:
    """(the record once the run has ended, whether Ctrl-C ended it)."""
    line = ProgressLine()
    line.say(f"Run {run_id}")

    def draw(record: RunRecord) -> None:
        waiting = record.status == "queued"
        line.draw(record, launcher.store.position(run_id) if waiting else None)

    def tell(stamped: ev.Stamped) -> None:
        if isinstance(stamped.event, ev.Warned):
            line.say(f"Warning: {stamped.event.message}")

    try:
        return launcher.wait(run_id, tell, draw), False
    except KeyboardInterrupt:
        line.say("Stopping the run; press Ctrl-C again to leave it to end by itself.")
        launcher.store.request_cancel(run_id)
        return launcher.wait(run_id, on_tick=draw), True
    finally:
        line.clear()


def _error_of(record: RunRecord) -> dict[str, str] | None:
    match record.status:
        case "finished":
            return None
        case "cancelled":
            return {"kind": "cancelled", "message": f"Run {record.id} was stopped; what it had done is kept."}
        case _:
            return {"kind": record.failure.reason, "message": record.failure.message}


def _free_folder(out: str | None) -> Path | None:
    """The folder for the result; raises BadInput when something is in it already."""
    if out is None:
        return None
    folder = Path(out).expanduser().resolve()
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadInput(f"--out {out} exists already; choose a new or empty folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"--out {out} cannot be written ({error.strerror}); choose another folder.") from error
    return folder


def _copy(checkpoint: Path, out: Path, record: RunRecord) -> Path:
    """The checkpoint and its recipe under `out`, whole or not at all."""
    partial = out.with_name(f".{out.name}.partial-{record.id}")
    try:
        shutil.copytree(checkpoint, partial)
        recipe = record.recipe.model_dump_json(indent=2)
        (partial / RECIPE_FILE).write_text(recipe, encoding="utf-8")
        partial.replace(out)  # also over an empty folder
    except (OSError, shutil.Error) as error:
        shutil.rmtree(partial, ignore_errors=True)
        kept = f"the pruned weights are in {checkpoint}"
        if is_disk_full(error) or "no space left" in str(error).lower():
            raise DiskFull(f"The disk of {out} is full, so nothing was copied; {kept}.") from error
        raise PruneError(f"The result could not be copied to {out}; {kept}.") from error
    return out
