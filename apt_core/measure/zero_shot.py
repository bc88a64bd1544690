"""How well a model does zero-shot tasks, by lm-evaluation-harness (an extra install: `pip install .[tasks]`).

    python -m apt_core.measure.zero_shot NAMES

says in one line of JSON which of these names the harness does not know, and whose data are not on this machine. It
asks no network. (What a name stands for is a file of the harness: only names that it lists are ever loaded, no paths.)
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from apt_core.base.errors import BadInput, NotReachable
from apt_core.base.lazy import lazy
from apt_core.base.paths import tasks_dir
from apt_core.events import TaskScored
from apt_core.models.fetch.progress import Report

if TYPE_CHECKING:
    from transformers import PreTrainedModel

harness = lazy("lm_eval")
harness_tasks = lazy("lm_eval.tasks")
harness_models = lazy("lm_eval.models.huggingface")

_BATCH = 4  # requests in one forward pass
_RESAMPLED = 1000  # times, for the standard error of a metric that has no formula for it
_OFFLINE = ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE")


def score(
    model: PreTrainedModel, tokenizer: Any, names: Sequence[str], limit: int, report: Report
) -> list[TaskScored]:
    """Every metric of these tasks. limit: examples of each task, 0 for all. report: called after every forward pass.

    Raises BadInput for a name that is no task, NotReachable where the data of one cannot be had.
    """
    manager = harness_tasks.TaskManager(include_path=tasks_dir())
    check_names(names, manager.all_tasks)
    report("tasks", 0, 1, "reading the tasks")
    loaded = _loaded(manager, names)
    reader = harness_models.HFLM(pretrained=model, tokenizer=tokenizer, batch_size=_BATCH)
    _count_passes(reader, ", ".join(names), report)
    results = harness.simple_evaluate(
        model=reader,
        tasks=loaded,
        limit=limit or None,
        task_manager=manager,
        bootstrap_iters=_RESAMPLED,
        log_samples=False,
    )
    return list(scores_of(results))


def check_names(names: Sequence[str], known: Sequence[str]) -> None:
    """Raises BadInput for the first name that is not among those known."""
    unknown = next((name for name in names if name not in set(known)), None)
    if unknown is not None:
        near = [name for name in known if name.startswith(unknown[:4])][:5]
        such = f", such as {', '.join(near)}" if near else ""
        raise BadInput(f"lm-evaluation-harness has no task {unknown[:60]!r}; name one that it has{such}.")


def scores_of(results: dict[str, Any]) -> Iterator[TaskScored]:
    """One event for each number that the harness computed for a task; groups are left to the reader of their tasks."""
    version = f"lm-eval {importlib.metadata.version('lm_eval')}"
    for task, counts in results["n-samples"].items():
        found = results["results"][task]
        for key, value in found.items():
            name, _, filtered = key.partition(",")
            if name.endswith("_stderr") or not isinstance(value, int | float) or not filtered:
                continue
            error = found.get(f"{name}_stderr,{filtered}")
            yield TaskScored(
                task=task,
                metric=name if filtered == "none" else f"{name} ({filtered})",
                value=value,
                stderr=error if isinstance(error, float) and math.isfinite(error) else None,
                examples=counts["effective"],
                shots=results["n-shot"].get(task, 0),
                version=str(results["versions"].get(task)),
                harness=version,
            )


def _loaded(manager: Any, names: Sequence[str]) -> list[Any]:
    """The tasks with their data, which may come from the Hub."""
    found: list[Any] = []
    for name in names:
        try:
            found += manager.load([name])["tasks"].values()
        except (ConnectionError, TimeoutError, FileNotFoundError, OSError) as error:
            raise NotReachable(absent(name)) from error
    return found


def absent(task: str, dataset: str = "") -> str:
    """What to do about data that are not here."""
    of = f" ({dataset})" if dataset else ""
    return (
        f"The data of the task {task}{of} are not on this machine and the Hub does not give them; connect to the "
        "network, or choose tasks whose data are here."
    )


def _count_passes(reader: Any, what: str, report: Report) -> None:
    """Report the requests that have gone through the model, of those that were asked for so far."""
    asked, done = 0, 0
    take, call = reader._loglikelihood_tokens, reader._model_call

    def taken(requests: Any, *rest: Any, **more: Any) -> Any:
        nonlocal asked
        asked += len(requests)
        return take(requests, *rest, **more)

    def called(inputs: Any, *rest: Any, **more: Any) -> Any:
        nonlocal done
        report("tasks", done, max(asked, done, 1), what)
        answer = call(inputs, *rest, **more)
        done += len(inputs)
        return answer

    reader._loglikelihood_tokens, reader._model_call = taken, called


# ---- the process that looks before a run is made


def look(names: Sequence[str]) -> dict[str, Any]:
    """{"refusal": sentence or None, "absent": {task: the dataset of the Hub that it reads}}"""
    manager = harness_tasks.TaskManager(include_path=tasks_dir())
    try:
        check_names(names, manager.all_tasks)
    except BadInput as error:
        return {"refusal": str(error), "absent": {}}
    return {"refusal": None, "absent": {name: _dataset(error) for name, error in _failing(manager, names)}}


def _failing(manager: Any, names: Sequence[str]) -> Iterator[tuple[str, Exception]]:
    for name in names:
        try:
            manager.load([name])
        except Exception as error:  # whatever the harness raises: the run would meet the same
            logging.getLogger(__name__).info("The task %s cannot be read here: %s", name, error)
            yield name, error


def _dataset(error: Exception) -> str:
    """The Hub's name of what could not be loaded, as datasets says it; '' where it does not."""
    words = (word.strip("'\"`,.:;()") for word in str(error).split())
    return next((word for word in words if word.count("/") == 1 and not word.startswith("/")), "")


def main(arguments: Sequence[str] | None = None, out: Callable[[str], Any] = print) -> int:
    names = list(sys.argv[1:] if arguments is None else arguments)
    out(json.dumps(look([name for one in names for name in one.split(",")])))
    return 0


if __name__ == "__main__":
    os.environ.update(dict.fromkeys(_OFFLINE, "1"))
    sys.exit(main())
