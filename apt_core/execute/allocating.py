"""What an allocation asks of the dense model, and the pattern that it gives each layer, before anything is removed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from torch import Tensor

from apt_core.base.clock import Clock
from apt_core.base.limits import gradient_windows
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.events import Allocated, Event, Progress
from apt_core.execute.calibrated import Calibrated
from apt_core.methods import LayerKey, Statistic
from apt_core.methods.component import DenseModel
from apt_core.methods.layer_patterns import layer_patterns
from apt_core.passes.dense_look import looks_of, scores_of
from apt_core.passes.embedding_and_head import EmbeddingAndHead
from apt_core.passes.entering import Entering
from apt_core.passes.gradients import OutputSensitivity, output_sensitivity, steps_of
from apt_core.passes.runner import timed

Result = TypeVar("Result")


def embedded(given: Calibrated) -> Generator[Event, None, Entering]:
    """The calibration windows in front of the first block."""
    yield given.progress("embedding the calibration text")
    with EmbeddingAndHead.of(given.model, given.store).skip_blocks():
        return Entering.of(given.model, given.store.blocks, given.windows, given.batch)


def sensitivity_of(
    given: Calibrated, entering: Entering | None, clock: Clock
) -> Generator[Event, None, OutputSensitivity | None]:
    """Of the dense model's loss to the outputs of each layer, on the first windows: known, or measured and kept. None
    where the method asks for none."""
    if Statistic.OUTPUT_GRADIENTS not in given.job.method.needs_for(given.job.pattern):
        return None
    assert entering is not None  # gradients are of a text
    windows = given.windows[: gradient_windows(*given.windows.shape)]
    target = given.job.method.target
    if given.kept and (known := given.kept.recall(given.model, given.store, given.layers, windows, target)):
        clock.spare("gradients", known.seconds)
        return known.sensitivity
    found = yield from _measured_sensitivity(given, entering, windows, clock)
    if given.kept:
        seconds = clock.seconds.get("gradients", 0.0)
        given.kept.keep(given.model, given.store, given.layers, windows, target, found, seconds)
    return found


def _measured_sensitivity(
    given: Calibrated, entering: Entering, windows: Tensor, clock: Clock
) -> Generator[Event, None, OutputSensitivity]:
    total = steps_of(len(given.store.blocks), *windows.shape)
    measuring = output_sensitivity(
        given.model,
        given.store,
        given.layers,
        windows,
        entering.first(len(windows)),
        given.job.method.target.condense,
        given.scratch,
    )
    said = _steps("gradients of the dense loss", total)
    return (yield from reporting(timed(measuring, clock, "gradients"), said))


def dense_model(
    given: Calibrated, entering: Entering | None, sensitivity: OutputSensitivity | None, clock: Clock
) -> Generator[Event, None, DenseModel]:
    """All that the method's allocation knows of the dense model. entering: None where it reads no text."""
    sizes = {(layer.block, layer.name): layer.matrix.numel() for layer in given.layers}
    scores = yield from _scores(given, entering, clock)
    return DenseModel(sizes, {} if sensitivity is None else sensitivity.costs, scores)


def _scores(
    given: Calibrated, entering: Entering | None, clock: Clock
) -> Generator[Event, None, dict[LayerKey, float]]:
    """What the method's allocation makes of each layer of the dense model, where it looks at it at all."""
    needs = given.job.method.needs_for(given.job.pattern)
    with_inputs = Statistic.DENSE_INPUTS in needs
    if not with_inputs and Statistic.DENSE_WEIGHTS not in needs:
        return {}
    assert entering is not None or not with_inputs
    read = entering if with_inputs else None
    looking = scores_of(given.store, given.layers, read, given.batch, given.job.method.allocation.scores)
    said = _steps("a look at the dense model", looks_of(len(given.store.blocks), read, given.batch))
    return (yield from reporting(timed(looking, clock, "forward" if with_inputs else "solve"), said))


def patterns_of(
    given: Calibrated, dense: DenseModel
) -> Generator[Event, None, dict[LayerKey, Unstructured | SemiStructured]]:
    """(block, layer name) -> its own pattern, where the method's allocation lets layers differ."""
    shares = given.job.method.allocation.shares(dense, given.job.pattern) or {}
    patterns = layer_patterns(given.job.pattern, shares, dense.sizes)
    if patterns:
        yield Allocated(shares={f"{block}:{name}": one.sparsity for (block, name), one in patterns.items()})
    return patterns


def reporting(
    steps: Generator[Any, None, Result], said: Callable[[int], Progress]
) -> Generator[Event, None, Result]:
    """An event for every step, and what the steps return."""
    done = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: Result = end.value
            return found
        yield said(done)
        done += 1


def _steps(detail: str, total: int) -> Callable[[int], Progress]:
    return lambda done: Progress(stage="calibrate", done=done, total=total, detail=detail)
