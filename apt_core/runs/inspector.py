"""The process that looks inside finished runs, and at allocations before a run.

    python -m apt_core.runs.inspector

It takes one question (JSON, `measure.inside.questions`) a line on stdin and says `Looking` while it works, then the
answer or `Failed`, as JSON lines on stdout. It ends at the end of stdin, or when nobody asked anything for `--idle`
seconds, and gives all its memory back. Whoever does not want an answer any more kills it: it writes nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Generator
from typing import Any

import torch
from pydantic import BaseModel, ValidationError

from apt_core.base import logs, threads
from apt_core.base.errors import BadInput, one_sentence
from apt_core.base.hardware import choose_device
from apt_core.base.paths import data_dir
from apt_core.base.policy import HostPolicy
from apt_core.base.words import percent
from apt_core.estimate import machine, placing
from apt_core.events import Event, Progress
from apt_core.events.records import RunRecord
from apt_core.execute.allocation import layer_shares
from apt_core.execute.context import Context
from apt_core.execute.opening import (
    Opened,
    calibration_windows,
    evaluation_windows,
    fetch_model,
    open_model,
)
from apt_core.jobs import Evaluation, ModelRef, Pruning
from apt_core.measure.blocks_alone import blocks_alone
from apt_core.measure.depth import Side, depth
from apt_core.measure.depth_values import BlocksAlone, Depth
from apt_core.measure.inside.inputs import input_statistics
from apt_core.measure.inside.look import look, read_weights
from apt_core.measure.inside.questions import (
    AllocationQuestion,
    BlocksAloneQuestion,
    DepthQuestion,
    LayerQuestion,
    Looking,
    Question,
    RunQuestion,
    question_adapter,
)
from apt_core.measure.inside.values import LayerInside
from apt_core.measure.layer_shares import LayerShares
from apt_core.runs import allocations
from apt_core.runs.cpu_time import Allowance, allowed_seconds
from apt_core.runs.inspecting import checked
from apt_core.runs.only_ours import only_ours
from apt_core.runs.quotas import Quotas
from apt_core.runs.reader import Questions
from apt_core.runs.store import Store
from apt_core.runs.worker_errors import failure_of

_NICE = 5
Found = LayerInside | Depth | BlocksAlone | LayerShares
Steps = Generator[Looking, None, Found]


def main(arguments: list[str] | None = None) -> int:
    """Answer until stdin ends; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m apt_core.runs.inspector", description=__doc__)
    parser.add_argument("--idle", type=float, default=300.0, help="seconds without a question before it ends")
    options = parser.parse_args(arguments)
    with contextlib.suppress(OSError):  # some containers forbid it, and looks do not need it
        os.nice(_NICE)
    questions, policy = Questions(sys.stdin), HostPolicy.from_environment()
    allowance = Allowance(allowed_seconds(policy, os.environ, data_dir()))
    with only_ours() as out:
        while (line := questions.next(options.idle)) is not None:
            with machine.in_use():
                for reply in allowance.through(threads.following(replies(line, Store(), policy))):
                    out.write(reply.model_dump_json() + "\n")
                    out.flush()
    return 0


def replies(line: str, store: Store, policy: HostPolicy) -> Generator[BaseModel, None, None]:
    """What to say to one line of stdin; always ends with an answer or Failed."""
    try:
        yield (yield from _answer(question_adapter.validate_json(line), store, policy))
    except ValidationError as error:
        yield failure_of(BadInput(one_sentence(error)))
    except Exception as error:
        logging.getLogger(__name__).exception("The question could not be answered")
        yield failure_of(error)


def _answer(question: Question, store: Store, policy: HostPolicy) -> Steps:
    if isinstance(question, AllocationQuestion):
        return (yield from _allocation(question, store, policy))
    return (yield from _inside(question, store, policy))


_WHOEVER = ""  # asks: an answer that is kept is everybody's, so nobody's own rights count


def _allocation(question: AllocationQuestion, store: Store, policy: HostPolicy) -> Steps:
    bounds = Quotas.of(policy, os.environ, store.root).bounds_for(_WHOEVER)
    with allocations.work_folder(store) as folder:
        context = Context.of(question.job, folder, policy, store, place=placing.place, bounds=bounds)
        return (yield from _followed(layer_shares(question, context)))


def _inside(question: RunQuestion, store: Store, policy: HostPolicy) -> Steps:
    record = checked(question, store)
    bounds = Quotas.of(policy, os.environ, store.root).bounds_for(record.owner)
    folder = store.folder(question.run)
    context = Context.of(record.job, folder, policy, store, place=placing.place, bounds=bounds)
    if isinstance(question, LayerQuestion):
        return (yield from _layer(question, record, context))
    if isinstance(question, DepthQuestion):
        return (yield from _depth(question, record, context))
    return (yield from _alone(question, record, context))


def _layer(question: LayerQuestion, record: RunRecord, context: Context) -> Steps:
    job, checkpoint = record.pruning, context.folder / "checkpoint"
    layer = next(one for one in record.layers if (one.block, one.layer) == (question.block, question.layer))
    yield Looking(done=0, total=1, detail="reading the weights")
    dense_folder = yield from _quietly(fetch_model(job, context))
    weights = read_weights(dense_folder, checkpoint, question.block, question.layer, _dtype(record))
    stats = None
    if question.inputs:
        opened = yield from _open(_of_run(job, question.run), context, _dtype(record))
        windows = yield from _quietly(calibration_windows(job, opened, context.policy))
        windows = windows.to(next(opened.model.parameters()).device)
        walk = input_statistics(opened.model, opened.store, windows, question.block, question.layer)
        total = question.block + 2
        counted = yield from _said(walk, lambda block: (block, total), "blocks")
        stats = counted.to(torch.device("cpu"))  # where the weights are
        del opened
    yield Looking(done=1, total=1, detail="counting")
    return look(question.run, job, layer, weights, dense_folder, stats, question.row)


def _depth(question: DepthQuestion, record: RunRecord, context: Context) -> Steps:
    dense, pruned, windows, text = yield from _both(question, record, context)
    total = len(dense.store.blocks)
    steps = depth(question.run, dense, pruned, windows, text)
    return (yield from _said(steps, lambda block: (block, total), "blocks of both models"))


def _alone(question: BlocksAloneQuestion, record: RunRecord, context: Context) -> Steps:
    dense, pruned, windows, text = yield from _both(question, record, context)
    steps = blocks_alone(question.run, dense, pruned, windows, text)
    return (yield from _said(steps, lambda step: step, "blocks, each pruned alone"))


def _both(
    question: DepthQuestion | BlocksAloneQuestion, record: RunRecord, context: Context
) -> Generator[Looking, None, tuple[Side, Side, Any, str]]:
    """Both models and the first windows of the run's evaluation text."""
    job = record.making
    dense = yield from _open(job, context, _dtype(record))
    pruned = yield from _open(_of_run(job, question.run), context, _dtype(record))
    first = job.evaluation[0]
    length = min(question.length, first.length)
    wanted = Evaluation(text=first.text, samples=question.windows, length=length)
    asked = job.model_copy(update={"evaluation": (wanted,)})
    found = yield from _quietly(evaluation_windows(asked, dense, context.policy, job.calibration.text))
    return Side(dense.model, dense.store), Side(pruned.model, pruned.store), found[0], first.text


def _of_run(job: Pruning, run_id: str) -> Pruning:
    """The same job on what the run made."""
    return job.model_copy(update={"model": ModelRef(id=f"run:{run_id}")})


def _open(job: Pruning, context: Context, dtype: torch.dtype) -> Generator[Looking, None, Opened]:
    yield Looking(done=0, total=1, detail="loading the model")
    device = choose_device(context.device)
    return (yield from _quietly(open_model(job, context, dtype, device, job.prunes_optional)))


def _dtype(record: RunRecord) -> torch.dtype:
    """What the run computed in, so that its figures come out again."""
    named = getattr(torch, record.model.dtype, None) if record.model else None
    return named if isinstance(named, torch.dtype) else torch.float32


def _quietly(steps: Generator[Any, None, Any]) -> Generator[Looking, None, Any]:
    """The result of steps of a run; of its events only that something goes on is said."""
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            return end.value
        yield Looking(done=0, total=1, detail=getattr(event, "stage", None) or "loading the model")


def _followed(steps: Generator[Event, None, Found]) -> Generator[Looking, None, Found]:
    """The result of steps of a run, with how far they are."""
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            found: Found = end.value
            return found
        if isinstance(event, Progress):
            yield _where(event)


_COMING = {"download": "downloading", "convert": "converting"}  # stages that count bytes


def _where(event: Progress) -> Looking:
    if event.stage in _COMING:
        arrived = percent(event.done / event.total) if event.total else ""
        return Looking(done=0, total=1, detail=f"{_COMING[event.stage]} {arrived}".rstrip())
    return Looking(done=int(event.done), total=int(event.total), detail=event.detail or event.stage)


def _said(steps: Generator[Any, None, Any], where: Any, detail: str) -> Generator[Looking, None, Any]:
    """The result of a measurement, its steps as `Looking`."""
    while True:
        try:
            done, total = where(next(steps))
        except StopIteration as end:
            return end.value
        yield Looking(done=done, total=total, detail=detail)


if __name__ == "__main__":
    logs.set_up_child(os.environ)
    sys.exit(main())
