"""`--resume`: the job of a run that stopped, to go on from the state that it has kept."""

from __future__ import annotations

import argparse

from apt_core.base.errors import BadInput
from apt_core.jobs import Job, make_job
from apt_core.runs.store import Store


def resumed(
    options: argparse.Namespace, store: Store, kind: type[Job], word: str, bounds: tuple[str, ...]
) -> Job:
    """The job of the run that `--resume` names, with those of its `bounds` that are asked for anew.

    word: what a run of this kind is called. Raises BadInput for a run of another kind, and for one that kept nothing.
    """
    before = store.get(options.resume).job
    if not isinstance(before, kind):
        raise BadInput(f"Run {options.resume} is no {word}; --resume takes one that stopped.")
    store.training_of(options.resume)  # raises BadInput
    flags = {path: flag for flag, path in options.job_fields.items()}
    asked = {bound: value for bound in bounds if (value := getattr(options, flags[bound])) is not None}
    return make_job(**before.model_dump() | {"resume": options.resume} | asked)
