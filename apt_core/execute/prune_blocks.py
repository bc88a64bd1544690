"""Block after block: statistics, the removal of weights, and on to the next with what the pruned one makes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from time import perf_counter

import torch
from torch import Tensor, nn

from apt_core import families
from apt_core.base.clock import Clock
from apt_core.base.errors import NotPositiveDefinite
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.events import Event, LayerPruned, PartPruned, Progress, Warned
from apt_core.execute import allocating
from apt_core.execute.calibrated import Calibrated
from apt_core.families import Layer
from apt_core.maths.error import relative_error
from apt_core.maths.hessian import LayerStats
from apt_core.maths.pattern import is_exact, removed_count
from apt_core.methods import LayerKey, Method, Pruned, Statistic
from apt_core.passes.coverage import CalibrationCoverage, under_covered
from apt_core.passes.entering import Entering
from apt_core.passes.halting import Halting
from apt_core.passes.layer_walk import LayerWalk, WalkName
from apt_core.passes.runner import OpenBlock, Runner, timed
from apt_core.passes.shared_weights import collect
from apt_core.passes.two_pass import TwoPass

_MAX_DAMPENING = 1.0
_WALKS: dict[WalkName, type[LayerWalk]] = {walk.name: walk for walk in (Halting, TwoPass)}


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
    needs = given.job.method.needs_for(given.job.pattern)
    entering = yield from allocating.embedded(given)
    later_uses = yield from _later_uses(given, entering, clock)
    sensitivity = yield from allocating.sensitivity_of(given, entering, clock)
    dense = yield from allocating.dense_model(given, entering, sensitivity, clock)
    patterns = yield from allocating.patterns_of(given, dense)
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
    return Runner(given.store, entering), walk, patterns


def _later_uses(
    given: Calibrated, entering: Entering, clock: Clock
) -> Generator[Event, None, dict[LayerKey, LayerStats]]:
    """Of weights that several blocks share: the statistics of their later uses in the dense model."""
    uses = families.later_uses(given.store.blocks, given.layers)
    if not uses:
        return {}
    yield Warned(message=_shared(uses))
    steps = timed(collect(given.store, uses, entering, given.batch), clock, "forward")
    return (yield from allocating.reporting(steps, lambda _: given.progress("later uses of shared weights")))


def _shared(uses: dict[LayerKey, list[Layer]]) -> str:
    most = max(map(len, uses.values())) + 1
    return (
        f"{len(uses)} matrices are used at up to {most} depths; each is pruned once, where it is met first, with the "
        "inputs of all its uses, the later ones as the dense model has them."
    )


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
