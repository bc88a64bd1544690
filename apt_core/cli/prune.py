"""`prune`: queue a run, follow it, print what came out."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from apt_core.base.errors import BadInput, DiskFull, PruneError
from apt_core.base.out_of_room import is_disk_full
from apt_core.base.policy import LOCAL
from apt_core.cli.following import ended, follow
from apt_core.cli.options import pruning_from
from apt_core.cli.output import print_json
from apt_core.cli.race import run_race
from apt_core.cli.report import report
from apt_core.events.records import RunRecord
from apt_core.jobs import Prune, Pruning
from apt_core.jobs.kinds import prunes
from apt_core.reports.as_json import asked_run_json, error_of
from apt_core.runs.launcher import Launcher
from apt_core.runs.store import Store
from apt_core.studies.race import line_up

JOB_COPY = "apt_recipe.json"  # beside a copied checkpoint: says which model is its dense one


def run(options: argparse.Namespace) -> int:
    out = free_folder(options.out)
    job = pruning_from(options)
    launcher = Launcher(Store(), only=LOCAL)
    if options.race is not None:
        return run_race(launcher, _race(job, options), options.json, options.policy)
    run_id = launcher.store.create(job)  # started by `follow`, which knows what to do on Ctrl-C
    record, interrupted = follow(launcher, run_id)
    error = error_of(record)
    checkpoint = launcher.store.checkpoint(run_id)
    if checkpoint and out and error is None:
        checkpoint = _copy(checkpoint, out, record)
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


def free_folder(out: str | None) -> Path | None:
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
    """The checkpoint and its job under `out`, whole or not at all."""
    partial = out.with_name(f".{out.name}.partial-{record.id}")
    try:
        shutil.copytree(checkpoint, partial)
        (partial / JOB_COPY).write_text(record.job.model_dump_json(indent=2), encoding="utf-8")
        partial.replace(out)  # also over an empty folder
    except (OSError, shutil.Error) as error:
        shutil.rmtree(partial, ignore_errors=True)
        kept = f"the pruned weights are in {checkpoint}"
        if is_disk_full(error) or "no space left" in str(error).lower():
            raise DiskFull(f"The disk of {out} is full, so nothing was copied; {kept}.") from error
        raise PruneError(f"The result could not be copied to {out}; {kept}.") from error
    return out
