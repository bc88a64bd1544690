"""Block after block: statistics, the removal of weights, and on to the next with what the pruned one makes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from apt_core import families
from apt_core.base.clock import Clock
from apt_core.base.errors import NotPositiveDefinite
from apt_core.base.limits import gradient_windows, windows_per_batch
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.events import Event, LayerPruned, PartPruned, Progress, Warned
from apt_core.families import Layer
from apt_core.jobs.recipe import Recipe
from apt_core.maths.error import relative_error
from apt_core.maths.hessian import LayerStats
from apt_core.maths.pattern import is_exact, removed_count
from apt_core.methods import LayerKey, Method, Pruned, Statistic
from apt_core.models.load.weights import Weights
from apt_core.passes.coverage import Seen, saw_few
from apt_core.passes.embedding_and_head import Bypass
from apt_core.passes.gradients import Places, steps_of
from apt_core.passes.halting import HiddenStates

if TYPE_CHECKING:
    from apt_core.models.checkpoint.in_place import PatchedCheckpoint
    from apt_core.models.checkpoint.whole import WholeCheckpoint

_MAX_DAMPENING = 1.0


def prune_blocks(
    recipe: Recipe,
    model: nn.Module,
    weights: Weights,
    every_layer: list[Layer],
    windows: Tensor,
    stored: torch.dtype,
    clock: Clock,
    kept: PatchedCheckpoint | WholeCheckpoint,
    scratch: Places | None,
) -> Iterator[Event]:
    """Statistics, pruning, propagation, block after block. `prune` covers all three."""
    blocks = weights.blocks
    batch = windows_per_batch(*windows.shape)
    yield Progress(stage="calibrate", done=0, total=len(blocks), detail="embedding the calibration text")
    with Bypass.of(model, weights).stepped_over():
        hidden = HiddenStates.at_first_block(model, blocks, windows, batch)
    needs = recipe.method.needs_for(recipe.pattern)
    if Statistic.DENSE_STREAM in needs:
        hidden.keep_dense_stream()
    if uses := families.later_uses(blocks, every_layer):
        yield Warned(message=_shared(uses))
        for _ in hidden.look_ahead(weights, uses):
            yield Progress(
                stage="calibrate", done=0, total=len(blocks), detail="later uses of shared weights"
            )
    if Statistic.OUTPUT_GRADIENTS in needs:
        some = windows[: gradient_windows(*windows.shape)]
        steps = steps_of(len(blocks), *some.shape)
        asking = hidden.ask_the_loss(
            model, weights, every_layer, some, recipe.method.target.condense, scratch
        )
        for done, _ in enumerate(asking):
            yield Progress(stage="calibrate", done=done, total=steps, detail="gradients of the dense loss")
    patterns = _patterns(recipe, hidden)
    if hidden.minded is not None:
        hidden.minded.costs.clear()  # 80 kB a layer that nobody asks for any more
    with weights.rest_away():
        for index in range(len(blocks)):
            yield from _prune_block(
                recipe, weights, index, every_layer, hidden, patterns, stored, clock, kept
            )
    clock.seconds |= {"forward": hidden.forward_seconds, "statistics": hidden.statistics_seconds}
    if hidden.minded is not None:
        clock.seconds["gradients"] = hidden.gradient_seconds


def _prune_block(
    recipe: Recipe,
    weights: Weights,
    index: int,
    every_layer: list[Layer],
    hidden: HiddenStates,
    patterns: dict[LayerKey, Unstructured],
    stored: torch.dtype,
    clock: Clock,
    kept: PatchedCheckpoint | WholeCheckpoint,
) -> Iterator[Event]:
    layers = [layer for layer in every_layer if layer.block == index]
    seen, met = Seen(layers), set()
    with weights.block(index) as block:
        for arrival in hidden.through(block, index, layers):
            if arrival is None:
                yield Progress(stage="prune", done=index, total=len(weights.blocks), detail=f"block {index}")
                continue
            met.add(arrival.layer.name)
            seen.add(arrival.layer, arrival.stats.tokens)
            pattern = patterns.get((index, arrival.layer.name), recipe.pattern)
            yield from _prune_layer(recipe.method, pattern, arrival.layer, arrival.stats, stored, clock)
        kept.write_block(index, block, {f"{name}.weight" for name in met})
    yield from seen.warnings()


def _shared(uses: dict[tuple[int, str], list[Layer]]) -> str:
    most = max(map(len, uses.values())) + 1
    return (
        f"{len(uses)} matrices are used at up to {most} depths; each is pruned once, where it is met first, with the "
        "inputs of all its uses, the later ones as the dense model has them."
    )


def _patterns(recipe: Recipe, hidden: HiddenStates) -> dict[LayerKey, Unstructured]:
    """(block, layer name) -> its own sparsity, where the method's allocation lets layers differ."""
    costs = {} if hidden.minded is None else hidden.minded.costs
    shares = recipe.method.allocation.shares(costs, recipe.pattern) or {}
    return {key: Unstructured(sparsity=share) for key, share in shares.items()}


def _prune_layer(
    method: Method,
    pattern: Unstructured | SemiStructured,
    layer: Layer,
    stats: LayerStats,
    stored: torch.dtype,
    clock: Clock,
) -> Iterator[Event]:
    """Prune one linear layer in place and report it by the common yardstick.

    stored: the dtype of the checkpoint; weights are rounded to it at once, so that the model that is
    measured is the one that is saved.
    """
    name = f"block {layer.block} {layer.name}"
    start = perf_counter()
    dense = layer.matrix.float().contiguous()  # GPT-2 stores it transposed; methods see rows as rows
    with clock("solve"):
        result = yield from _solve(method, dense, stats, pattern, name)
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
        and not bool(kept[result.pruned].any())
        and is_exact(kept, pattern),
        dampening=result.dampening,
        seconds=perf_counter() - start,
        parts=_parts(layer, dense, kept, result.pruned, stats),
        tokens=stats.tokens,
        few_tokens=saw_few(layer, stats.tokens),
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
    method: Method, dense: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured, name: str
) -> Generator[Event, None, Pruned]:
    """The method's answer; where its statistics cannot be factorised, with more dampening and a warning."""
    while True:
        try:
            return method.prune(dense, stats, pattern)
        except NotPositiveDefinite:
            used = method.dampening
            if used * 10 > _MAX_DAMPENING:
                raise
            method = method.model_copy(update={"dampening": used * 10})
            yield Warned(
                message=f"{name}: the statistics could not be factorised at dampening {used:g}; used {used * 10:g}.",
                layer=name,
            )
