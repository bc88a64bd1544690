"""Which blocks go, and what the one before them takes over."""

from __future__ import annotations

import math
from collections.abc import Generator
from pathlib import Path
from typing import cast

from apt_core import families
from apt_core.base.errors import BadInput
from apt_core.events import Event, Folded
from apt_core.execute.shrink_given import Given, Planned, reporting
from apt_core.methods.structured.depth import Criterion, Depth, blocks_removed
from apt_core.models.checkpoint.reshaped import ModelEdit
from apt_core.models.load.smaller_config import check_builds, shapes_of, with_blocks
from apt_core.passes.block_maps import Writers, fold_maps, unexplained
from apt_core.passes.block_scores import block_influences, perplexities_without

_DAMPENING = 0.01  # × mean diagonal
_SAID: dict[Criterion, str] = {
    "influence": "Block Influence, 1 - cosine of what enters and leaves",
    "last": "",
    "perplexity": "perplexity without this block",
    "reconstruction": "share that a linear map cannot replace",
}


def without_blocks(given: Given) -> Generator[Event, None, Planned]:
    """The blocks that stay, and the configuration of the model that they make."""
    method, store = cast(Depth, given.job.method), given.opened.store
    count = len(store.blocks)
    if families.later_uses(store.blocks, given.opened.layers):
        raise BadInput(
            "Blocks of this model share weights, so none of them can be removed alone; choose a method that removes "
            "single weights."
        )
    removed = blocks_removed(given.job.pattern.sparsity, count)
    scores = yield from _scores(given, method.criterion)
    kept = _kept(method.criterion, scores, count, removed)
    _check_attention(given, kept)
    config = with_blocks(given.opened.folder, given.opened.model.config, kept)
    check_builds(config, [shapes_of(store.blocks[block]) for block in kept])
    changed, folded = None, tuple[Folded, ...]()
    if method.criterion == "reconstruction":
        changed, folded = yield from _fold(given, kept)
    edit, said = ModelEdit(kept, {}, config), _SAID[method.criterion]
    return Planned(edit, changed, count, said, tuple(scores), folded=folded)


def _check_attention(given: Given, kept: tuple[int, ...]) -> None:
    """transformers writes with a cache only where some block of a model that has attention still attends."""
    store = given.opened.store
    attending = {block for block, _ in families.attention_layers(store.blocks, given.opened.layers)}
    if not attending & set(kept):
        raise BadInput(
            "Every block with attention would go, and transformers cannot write with what is left; choose less "
            "sparsity or another criterion."
        )


def _scores(given: Given, criterion: Criterion) -> Generator[Event, None, list[float | None]]:
    """Of each block, None where it has none or one that is not finite; a block without a score stays."""
    found = yield from _measured(given, criterion)
    return [score if score is not None and math.isfinite(score) else None for score in found]


def _measured(given: Given, criterion: Criterion) -> Generator[Event, None, list[float | None]]:
    store, clock = given.opened.store, given.context.clock
    count = len(store.blocks)
    if criterion == "last":
        return []
    windows = given.calibration if criterion == "influence" else given.first
    yield given.progress("embedding the calibration text")
    entering, batch = given.entering(windows), given.batch
    if criterion == "influence":
        steps, total = block_influences(store, entering, batch), count * -(-len(windows) // batch)
        return [*(yield from reporting(steps, given, "how far blocks turn states", total, clock, "forward"))]
    if criterion == "perplexity":
        walk = perplexities_without(given.opened.model, store, windows, entering, batch)
        return [*(yield from reporting(walk, given, "the loss without each block", count, clock, "forward"))]
    fitting = unexplained(store, Writers(given.opened.layers), entering, batch, _DAMPENING)
    total = count * -(-len(windows) // batch)
    return (yield from reporting(fitting, given, "maps that stand in for blocks", total, clock, "forward"))


def _kept(criterion: Criterion, scores: list[float | None], count: int, removed: int) -> tuple[int, ...]:
    """Ties by the block's number: the first goes."""
    if criterion == "last":
        return tuple(range(count - removed))
    ranked = sorted((score, block) for block, score in enumerate(scores) if score is not None)
    gone = {block for _, block in ranked[:removed]}
    if len(gone) < removed:
        raise BadInput(
            f"Only {len(gone)} blocks of this model can be removed by {criterion}; choose less sparsity."
        )
    return tuple(block for block in range(count) if block not in gone)


def _fold(given: Given, kept: tuple[int, ...]) -> Generator[Event, None, tuple[Path, tuple[Folded, ...]]]:
    """The dense model's files with the maps folded in, and what those left over."""
    store, folded = given.opened.store, list[Folded]()
    entering = given.entering(given.calibration)
    writers = Writers(given.opened.layers)
    with given.changing():
        walk = fold_maps(store, writers, entering, given.batch, kept, _DAMPENING, given.rounded)
        for done in walk:
            folded += [] if done is None else [done]
            yield given.progress("folding maps in", len(folded))
        return store.finish(), tuple(folded)
