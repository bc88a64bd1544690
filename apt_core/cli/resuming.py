"""`--resume`: the job of a run that stopped, to go on from the state that it has kept, or to end with it; and the
sentence that says so when one stops."""

from __future__ import annotations

import argparse

from apt_core.base.errors import BadInput
from apt_core.events.records import RunRecord
from apt_core.jobs import Job, make_job
from apt_core.runs.store import Store


def resumed(options: argparse.Namespace, store: Store, kind: type[Job], bounds: tuple[str, ...]) -> Job:
    """The job of the run that `--resume` names, with those of its `bounds` that are asked for anew.

    Raises BadInput for a run of another kind, and for one that kept nothing.
    """
    before = store.get(options.resume).job
    if not isinstance(before, kind):
        raise BadInput(f"Run {options.resume} is no {kind.called}; --resume takes one that stopped.")
    store.training_of(options.resume)  # raises BadInput
    flags = {path: flag for flag, path in options.job_fields.items()}
    asked = {bound: value for bound in bounds if (value := getattr(options, flags[bound])) is not None}
    if options.finish:
        asked = _reached(options.resume, store, [f"--{flags[bound]}" for bound in asked])
    return make_job(**before.model_dump() | {"resume": options.resume} | asked)


def check_finish(options: argparse.Namespace) -> None:
    """Raise BadInput for `--finish` without a run that stopped."""
    if options.finish and not options.resume:
        raise BadInput("--finish makes a model of what a stopped run has reached; name it with --resume.")


def going_on(record: RunRecord, store: Store) -> str:
    """How a run that stopped is resumed, in one sentence; nothing where it finished or kept nothing."""
    if record.status == "finished" or not record.job.keeps_state():
        return ""
    try:
        reached = store.bounds_reached(record.id)
    except BadInput:
        return ""
    ends = ", and with --finish makes a model of it" if reached else ""
    return f"How far it came is kept: '{record.job.kind} --resume {record.id}' goes on from there{ends}."


def _reached(run_id: str, store: Store, also_asked: list[str]) -> dict[str, object]:
    if also_asked:
        raise BadInput(f"--finish goes no further, so leave {' and '.join(also_asked)} out.")
    reached = store.bounds_reached(run_id)
    if not reached:
        raise BadInput(f"Run {run_id} had reached nothing yet when it stopped; resume it without --finish.")
    return reached
