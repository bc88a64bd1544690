"""Block after block: statistics, the removal of weights, and on to the next with what the pruned one makes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from apt_core import families, maths
from apt_core.base.clock import Clock
from apt_core.base.errors import NotPositiveDefinite
from apt_core.base.limits import gradient_windows, windows_per_batch
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.events import Allocated, Event, LayerPruned, PartPruned, Progress, Warned
from apt_core.execute.in_parts import InParts
from apt_core.families import Layer
from apt_core.jobs import Prune
from apt_core.maths.error import relative_error
from apt_core.maths.hessian import LayerStats
from apt_core.maths.pattern import is_exact, removed_count
from apt_core.measure.kept_sensitivity import KeptSensitivity
from apt_core.methods import LayerKey, Method, Pruned, Statistic
from apt_core.methods.component import DenseModel
from apt_core.models.load.tensor_store import TensorStore
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.coverage import CalibrationCoverage, under_covered
from apt_core.passes.dense_look import scores_of
from apt_core.passes.embedding_and_head import EmbeddingAndHead
from apt_core.passes.entering import Entering
from apt_core.passes.gradients import OutputSensitivity, output_sensitivity, steps_of
from apt_core.passes.halting import Halting
from apt_core.passes.layer_walk import LayerWalk, WalkName
from apt_core.passes.runner import OpenBlock, Runner, timed
from apt_core.passes.shared_weights import collect
from apt_core.passes.two_pass import TwoPass

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MAX_DAMPENING = 1.0
_WALKS: dict[WalkName, type[LayerWalk]] = {walk.name: walk for walk in (Halting, TwoPass)}

Result = TypeVar("Result")


class Calibrated(NamedTuple):
    """A model, and the text that its layers' statistics come from.

    layers: of all blocks. windows: [windows, length] token ids on the device where tokens enter.
    stored: the dtype of the checkpoint. scratch: where tensors wait. kept: what other runs of the study found of the
    same windows. parts: where the run may be left between two blocks.
    """

    job: Prune
    model: PreTrainedModel
    store: WeightStore
    layers: list[Layer]
    windows: Tensor
    stored: torch.dtype
    scratch: Callable[[str], TensorStore]
    walk: WalkName = "halting"
    kept: KeptSensitivity | None = None
    parts: InParts | None = None

    @property
    def batch(self) -> int:
        """Windows that pass a block together."""
        return windows_per_batch(*self.windows.shape)

    def progress(self, detail: str) -> Progress:
        """Before the first block is pruned."""
        return Progress(stage="calibrate", done=0, total=len(self.store.blocks), detail=detail)


def prune_blocks(given: Calibrated, clock: Clock) -> Iterator[Event]:
    """Statistics, pruning, propagation, block after block. The clock's `prune` covers all three."""
    runner, walk, patterns = yield from _before_the_first_block(given, clock)
    if walk.notice:
        yield Warned(message=walk.notice)
    pruner = _BlockPruner(given, walk, patterns, clock)
    with given.store.rest_away():
        if given.parts is None:
            yield from runner.run(pruner)
        else:
            yield from given.parts.prune(runner, pruner, walk, clock)


def _before_the_first_block(
    given: Calibrated, clock: Clock
) -> Generator[Event, None, tuple[Runner, LayerWalk, dict[LayerKey, Unstructured | SemiStructured]]]:
    """What the dense model is asked for, and each layer's own sparsity where that decides it."""
    store, windows = given.store, given.windows
    needs = given.job.method.needs_for(given.job.pattern)
    yield given.progress("embedding the calibration text")
    with EmbeddingAndHead.of(given.model, store).skip_blocks():
        entering = Entering.of(given.model, store.blocks, windows, given.batch)
    later_uses = yield from _later_uses(given, entering, clock)
    asked = Statistic.OUTPUT_GRADIENTS in needs
    sensitivity = yield from _sensitivity(given, entering, clock) if asked else _none()
    scores = yield from _scores(given, entering, clock)
    patterns = yield from _patterns(given, sensitivity, scores)
    if sensitivity is not None:
        sensitivity.costs.clear()  # 80 kB a layer that nobody asks for any more
    walk = _WALKS[given.walk](
        entering.states,
        given.batch,
        given.layers,
        clock,
        compare=Statistic.DENSE_STREAM in needs,
        sensitivity=sensitivity,
        later_uses=later_uses,
    )
    return Runner(store, entering), walk, patterns


def _later_uses(
    given: Calibrated, entering: Entering, clock: Clock
) -> Generator[Event, None, dict[LayerKey, LayerStats]]:
    """Of weights that several blocks share: the statistics of their later uses in the dense model."""
    uses = families.later_uses(given.store.blocks, given.layers)
    if not uses:
        return {}
    yield Warned(message=_shared(uses))
    steps = timed(collect(given.store, uses, entering, given.batch), clock, "forward")
    return (yield from _reporting(steps, lambda _: given.progress("later uses of shared weights")))


def _shared(uses: dict[LayerKey, list[Layer]]) -> str:
    most = max(map(len, uses.values())) + 1
    return (
        f"{len(uses)} matrices are used at up to {most} depths; each is pruned once, where it is met first, with the "
        "inputs of all its uses, the later ones as the dense model has them."
    )


def _sensitivity(
    given: Calibrated, entering: Entering, clock: Clock
) -> Generator[Event, None, OutputSensitivity]:
    """Of the dense model's loss to the outputs of each layer, on the first windows: known, or measured and kept."""
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
    return (
        yield from _reporting(
            timed(measuring, clock, "gradients"),
            lambda done: Progress(
                stage="calibrate", done=done, total=total, detail="gradients of the dense loss"
            ),
        )
    )


def _reporting(
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


def _none() -> Generator[Event, None, None]:
    yield from ()


def _scores(
    given: Calibrated, entering: Entering, clock: Clock
) -> Generator[Event, None, dict[LayerKey, float]]:
    """What the method's allocation makes of each layer of the dense model, where it looks at it at all."""
    needs = given.job.method.needs_for(given.job.pattern)
    with_inputs = Statistic.DENSE_INPUTS in needs
    if not with_inputs and Statistic.DENSE_WEIGHTS not in needs:
        return {}
    looking = scores_of(
        given.store, given.layers, entering, given.batch, given.job.method.allocation.scores, with_inputs
    )
    return (
        yield from _reporting(
            timed(looking, clock, "forward" if with_inputs else "solve"),
            lambda _: given.progress("a look at the dense model"),
        )
    )


def _patterns(
    given: Calibrated, sensitivity: OutputSensitivity | None, scores: dict[LayerKey, float]
) -> Generator[Event, None, dict[LayerKey, Unstructured | SemiStructured]]:
    """(block, layer name) -> its own pattern, where the method's allocation lets layers differ."""
    sizes = {(layer.block, layer.name): layer.matrix.numel() for layer in given.layers}
    dense = DenseModel(sizes, {} if sensitivity is None else sensitivity.costs, scores)
    shares = given.job.method.allocation.shares(dense, given.job.pattern) or {}
    patterns = _patterns_of(given.job.pattern, shares, sizes)
    if patterns:
        yield Allocated(shares={f"{block}:{name}": one.sparsity for (block, name), one in patterns.items()})
    return patterns


def _patterns_of(
    pattern: Unstructured | SemiStructured, shares: Mapping[LayerKey, float], sizes: Mapping[LayerKey, int]
) -> dict[LayerKey, Unstructured | SemiStructured]:
    if not isinstance(pattern, SemiStructured):
        return {key: Unstructured(sparsity=share) for key, share in shares.items()}
    weights = [sizes[key] for key in shares]
    kept = maths.shares.kept_in_groups(list(shares.values()), weights, pattern.keep, pattern.of)
    return {key: pattern.of_layer(keep) for key, keep in zip(shares, kept, strict=True)}


class _BlockPruner:
    """A visitor that prunes each layer that the walk hands over, and commits the block."""

    def __init__(
        self,
        given: Calibrated,
        walk: LayerWalk,
        patterns: Mapping[LayerKey, Unstructured | SemiStructured],
        clock: Clock,
    ):
        self._given = given
        self._walk = walk
        self._patterns = patterns
        self._clock = clock
        self._coverage = CalibrationCoverage(given.layers)
        self._attention = families.attention_layers(given.store.blocks, given.layers)

    def to(self, device: torch.device) -> None:
        self._walk.to(device)

    def visit(self, block: OpenBlock) -> Generator[Event, None, None]:
        job, store = self._given.job, self._given.store
        pruned: list[Layer] = []
        for arrival in self._walk.visit(block):
            if arrival is None:
                yield Progress(
                    stage="prune", done=block.index, total=len(store.blocks), detail=f"block {block.index}"
                )
                continue
            layer, stats = arrival
            pruned.append(layer)
            self._coverage.add(layer, stats.tokens)
            pattern = self._patterns.get((layer.block, layer.name), job.pattern)
            attention = (layer.block, layer.name) in self._attention
            yield from _prune_layer(
                job.method, pattern, layer, stats, self._given.stored, self._clock, attention
            )
            del arrival, stats  # free while the windows go on
        changed = _names(block.module, pruned)
        store.commit(block.index, changed)
        if self._given.parts is not None:
            self._given.parts.add(block, changed)
        yield from self._coverage.warnings(block.index)


def _names(block: nn.Module, layers: list[Layer]) -> set[str]:
    """Of the parameters that hold these layers, inside their block."""
    changed = {id(layer.parameter) for layer in layers}
    return {name for name, parameter in block.named_parameters() if id(parameter) in changed}


def _prune_layer(
    method: Method,
    pattern: Unstructured | SemiStructured,
    layer: Layer,
    stats: LayerStats,
    stored: torch.dtype,
    clock: Clock,
    in_attention: bool,
) -> Iterator[Event]:
    """Prune one linear layer in place and report it by the common yardstick.

    stored: the dtype of the checkpoint; weights are rounded to it at once, so that the model that is
    measured is the one that is saved.
    """
    name = f"block {layer.block} {layer.name}"
    start = perf_counter()
    dense = layer.matrix.float().contiguous()  # GPT-2 stores it transposed; methods see rows as rows
    with clock("solve"):
        result = yield from _solve(method, dense, stats, pattern, name, in_attention)
    kept = result.weight.to(stored).float()
    removed = int(result.pruned.sum())
    event = LayerPruned(
        block=layer.block,
        layer=layer.name,
        shape=(dense.shape[0], dense.shape[1]),
        removed=removed,
        sparsity=removed / dense.numel(),
        relative_error=relative_error(dense, kept, stats.gram),
        pattern_valid=removed == removed_count(dense.numel(), pattern.sparsity)
        and not bool((kept.ne(0) & result.pruned).any())
        and is_exact(kept, pattern),
        dampening=result.dampening,
        seconds=perf_counter() - start,
        parts=_parts(layer, dense, kept, result.pruned, stats),
        tokens=stats.tokens,
        few_tokens=under_covered(layer, stats.tokens),
    )
    layer.write_(kept)  # last: `dense` may be the weight itself
    yield event


def _parts(
    layer: Layer, dense: Tensor, kept: Tensor, pruned: Tensor, stats: LayerStats
) -> tuple[PartPruned, ...]:
    """The same figures for each of the projections that the layer's rows are."""
    found, first = [], 0
    for name, rows in layer.parts:
        part = slice(first, first + rows)
        removed = int(pruned[part].sum())
        found.append(
            PartPruned(
                name=name,
                rows=rows,
                removed=removed,
                sparsity=removed / dense[part].numel(),
                relative_error=relative_error(dense[part], kept[part], stats.gram),
            )
        )
        first += rows
    return tuple(found)


def _solve(
    method: Method,
    dense: Tensor,
    stats: LayerStats,
    pattern: Unstructured | SemiStructured,
    name: str,
    in_attention: bool = True,
) -> Generator[Event, None, Pruned]:
    """The method's answer; where its statistics cannot be factorised, with more dampening and a warning."""
    while True:
        try:
            return method.prune(dense, stats, pattern, in_attention)
        except NotPositiveDefinite:
            used = method.dampening
            if used * 10 > _MAX_DAMPENING:
                raise
            method = method.model_copy(update={"dampening": used * 10})
            yield Warned(
                message=f"{name}: the statistics could not be factorised at dampening {used:g}; used {used * 10:g}.",
                layer=name,
            )
