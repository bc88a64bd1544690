"""Can the zero-shot tasks of a job be done here? Asked before a run is made, in a process of its own. No torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from apt_core.base.errors import BadInput, BadText, NotReachable
from apt_core.base.policy import STRICT, HostPolicy
from apt_core.jobs import Job
from apt_core.jobs.kinds import measures
from apt_core.texts import hub as texts_on_hub

PACKAGE = "lm_eval"
_LOOK = (sys.executable, "-m", "apt_core.measure.zero_shot")
_SECONDS = 120.0  # the harness reads thousands of small files when it starts
_REPOSITORY = Path(__file__).resolve().parents[2]


def check_tasks(job: Job, policy: HostPolicy = STRICT) -> None:
    """Raise BadInput or NotReachable, in one sentence, where the job's tasks cannot be done."""
    if not measures(job) or not job.tasks.listed:
        return
    most = policy.task_examples
    if most is not None and not 0 < job.tasks.limit <= most:
        raise BadInput(f"Zero-shot tasks take at most {most} examples each on this host; set a limit.")
    if find_spec(PACKAGE) is None:
        raise BadInput("Zero-shot tasks need one more package: pip install '.[tasks]'.")
    found = _look(job.tasks.listed)
    if found["refusal"]:
        raise BadInput(found["refusal"])
    for task, dataset in found["absent"].items():
        _check_on_hub(task, dataset, policy)


def _look(names: tuple[str, ...]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [*_LOOK, ",".join(names)],
            cwd=_REPOSITORY,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (subprocess.SubprocessError, ValueError, IndexError, OSError) as error:
        raise BadInput(
            "lm-evaluation-harness does not start here; install it again with pip install '.[tasks]'."
        ) from error


def _check_on_hub(task: str, dataset: str, policy: HostPolicy) -> None:
    """Data that are not here may come from the Hub, where it answers."""
    try:
        if not dataset:
            raise NotReachable(task)
        texts_on_hub.check(f"hub:{dataset}", policy)
    except (NotReachable, BadText) as error:
        raise NotReachable(
            f"The data of the task {task}{f' ({dataset})' if dataset else ''} are not on this machine and the Hub "
            "does not give them; connect to the network, or choose tasks whose data are here."
        ) from error
