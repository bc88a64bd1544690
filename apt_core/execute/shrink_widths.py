"""Which heads and channels go of each block, and how the output projections make up for them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from apt_core import families
from apt_core.base.errors import BadInput
from apt_core.events import Event, Narrowed
from apt_core.execute.more_dampening import with_dampening
from apt_core.execute.shrink_counts import Counts, Widths, counts_ahead, counts_of
from apt_core.execute.shrink_given import Given, Planned, reporting
from apt_core.families import Family, Layer, Member, Structure
from apt_core.maths.group_importance import WeightGradients, importance_along
from apt_core.maths.hessian import LayerStats
from apt_core.maths.least_squares import without_columns
from apt_core.methods.searching.evolution import Evolution
from apt_core.methods.structured.llm_pruner import LLMPruner, pruned_blocks
from apt_core.models.checkpoint.reshaped import Cut, ModelEdit
from apt_core.models.load.smaller_config import changed, check_builds, shapes_of
from apt_core.passes.halting import Halting
from apt_core.passes.runner import OpenBlock, Runner
from apt_core.passes.weight_gradients import weight_gradients

Kept = dict[tuple[int, str], tuple[int, ...]]  # (block, unit) -> the groups that stay
Scores = dict[tuple[int, str], Tensor]  # (block, unit) -> the importance of each group


def with_narrower_blocks(given: Given) -> Generator[Event, None, Planned]:
    """The groups that stay, and the configuration of the model that they make."""
    method, opened = cast(LLMPruner, given.job.method), given.opened
    widths = _widths(given, method)
    ahead = counts_ahead(method, widths, given.job.pattern.sparsity)
    scores = yield from scores_of(given, method, widths.structures)
    counts = ahead or counts_of(method, widths, given.job.pattern.sparsity, scores)
    kept = {key: _most_important(found, counts[key]) for key, found in scores.items()}
    cuts = cuts_of(given, widths.structures, kept)
    config = changed(opened.folder, width_changes(given, widths.structures, counts))
    check_builds(config, shapes_after(given, cuts))
    folder = None
    if method.compensate:
        folder = yield from compensated(given, method.dampening, widths.structures, kept)
    gone = tuple(narrowed(one, scores, kept) for one in widths.structures)
    blocks = len(opened.store.blocks)
    edit = ModelEdit(tuple(range(blocks)), cuts, config)
    return Planned(edit, folder, blocks, widths=tuple(one for some in gone for one in some))


def check_widths(given: Given) -> None:
    """Raise BadInput, before anything takes long, for a model without groups or a share that they cannot meet."""
    method = cast(LLMPruner, given.job.method)
    counts_ahead(method, _widths(given, method), given.job.pattern.sparsity)


def _widths(given: Given, method: LLMPruner) -> Widths:
    """Raises BadInput where the model has no groups, or its blocks already differ."""
    found, shapes = structures_of(given)
    blocks = given.opened.store.blocks
    if method.structures == "channels":
        found = tuple(one for one in found if one.unit == "channels")
    whole = sum(rows * columns for rows, columns in shapes.values())
    each: dict[str, int] = {one.unit: one.weights_each(shapes) for one in found}
    return Widths(found, each, whole, pruned_blocks(method, len(blocks)), len(blocks))


def structures_of(given: Given) -> tuple[tuple[Structure, ...], dict[str, tuple[int, int]]]:
    """(the structures of every block, [out, in] of the layers of one). Raises BadInput where the model has none, or its
    blocks already differ."""
    blocks = given.opened.store.blocks
    shapes = {layer.name: layer.shape for layer in given.opened.layers if layer.block == 0}
    config = given.opened.model.config.get_text_config()
    found = families.structures_of(families.family_of(blocks[0]), shapes, config.to_dict() | _usual(config))
    if families.block_widths(config.to_dict()):
        raise BadInput(
            "The blocks of this model already differ in width, and heads and channels are counted in blocks that are "
            "alike; prune the model that it was made from to a higher sparsity, or choose the method depth or one that "
            "removes single weights."
        )
    alike = all(shapes_of(block) == shapes_of(blocks[0]) for block in blocks)
    if not alike or not any(one.unit == "channels" for one in found):
        raise families.no_groups(type(given.opened.model).__name__)
    return found, shapes


def _usual(config: Any) -> dict[str, Any]:
    """Under the names that most families have; nothing where there is no attention."""
    heads = getattr(config, "num_attention_heads", None)
    return {} if heads is None else {"num_attention_heads": heads}


# ---- importance


def scores_of(
    given: Given, method: LLMPruner | Evolution, structures: tuple[Structure, ...]
) -> Generator[Event, None, Scores]:
    """The importance of each group of each block."""
    found: Scores = {}
    layers = _members(given, structures)

    def hear(block: int, gradients: Mapping[str, WeightGradients]) -> None:
        own = {layer.name: layer for layer in layers if layer.block == block}
        for one in structures:
            found[block, one.unit] = group_importance(one, own, gradients, method.importance)

    if not method.takes_gradients:
        for index in range(len(given.opened.store.blocks)):
            with given.opened.store.block(index):
                hear(index, {})
            yield given.progress("importance of heads and channels", index + 1)
        return found
    windows, store = given.first, given.opened.store
    yield given.progress("embedding the calibration text")
    total = len(windows) * (len(store.blocks) + 2)
    with store.scratch(given.context.folder) as scratch:
        steps = weight_gradients(
            given.opened.model, store, layers, windows, given.entering(windows), hear, scratch
        )
        yield from reporting(
            steps, given, "gradients of the dense loss", total, given.context.clock, "gradients"
        )
    return found


def _members(given: Given, structures: tuple[Structure, ...]) -> list[Layer]:
    names = {member.layer for one in structures for member in one.members}
    return [layer for layer in given.opened.layers if layer.name in names]


def group_importance(
    structure: Structure, layers: Mapping[str, Layer], gradients: Mapping[str, WeightGradients], rule: str
) -> Tensor:
    """[groups]: the sum over the members of what their rows or columns lose."""
    total = torch.zeros(structure.groups)
    for member in structure.members:
        weight = layers[member.layer].matrix.float()
        dimension = 0 if member.along == "rows" else 1
        of_each = importance_along(
            weight, gradients.get(member.layer, WeightGradients()), rule, dimension
        ).cpu()
        for span in member.spans:
            stretch = of_each[span.first : span.first + span.each * structure.groups]
            total += stretch.reshape(structure.groups, span.each).sum(dim=1)
    return total


def _most_important(scores: Tensor, count: int) -> tuple[int, ...]:
    """Ascending; of equal ones those with the lower number go first."""
    order = scores.argsort(stable=True)
    return tuple(sorted(order[len(scores) - count :].tolist()))


# ---- what is left


def cuts_of(given: Given, structures: tuple[Structure, ...], kept: Kept) -> dict[tuple[int, str], Cut]:
    """Of every tensor that loses rows or columns, biases among them."""
    found: dict[tuple[int, str], Cut] = {}
    transposed = _family(given).transposed
    for index, block in enumerate(given.opened.store.blocks):
        names = dict(block.named_parameters())
        for one in structures:
            for member in one.members:
                places = member.places(kept[index, one.unit])
                rows = member.along == "rows"
                dimension = int(rows == transposed)
                found[index, f"{member.layer}.weight"] = Cut(dimension, places)
                if rows and f"{member.layer}.bias" in names:
                    found[index, f"{member.layer}.bias"] = Cut(0, places)
    return found


def _family(given: Given) -> Family:
    return families.family_of(given.opened.store.blocks[0]) or families.UNLISTED


def shapes_after(given: Given, cuts: Mapping[tuple[int, str], Cut]) -> list[dict[str, tuple[int, ...]]]:
    """What the tensors of each block will be."""
    found = []
    for index, block in enumerate(given.opened.store.blocks):
        shapes = {name: list(shape) for name, shape in shapes_of(block).items()}
        for (of_block, name), cut in cuts.items():
            if of_block == index:
                shapes[name][cut.dimension] = len(cut.kept)
        found.append({name: tuple(shape) for name, shape in shapes.items()})
    return found


def width_changes(given: Given, structures: tuple[Structure, ...], counts: Counts) -> dict[str, Any]:
    """What config.json says of narrower blocks; alike ones are stated as transformers knows them.

    counts: of every block.
    """
    family, changes = _family(given), dict[str, Any]()
    of_blocks: list[dict[str, int]] = [{} for _ in given.opened.store.blocks]
    for one in structures:
        side = next(side for side in family.coupled if side.unit == one.unit)
        if one.unit == "heads":
            changes["head_dim"] = one.head_width
        for block, own in enumerate(of_blocks):
            count = counts[block, one.unit]
            own |= (
                {side.width: count}
                if one.unit == "channels"
                else {side.width: count * one.heads_each, "num_key_value_heads": count}
            )
    stated = {name: value for name, value in families.stating(of_blocks).items() if value is not None}
    return changes | stated


def narrowed(structure: Structure, scores: Scores, kept: Kept) -> Iterator[Narrowed]:
    """What a structure has lost, as the record of a run says it."""
    own = sorted((block, groups) for (block, unit), groups in kept.items() if unit == structure.unit)
    lost = tuple(_share_lost(scores[block, structure.unit], groups) for block, groups in own)
    groups = [len(groups) for _, groups in own]
    if structure.unit == "channels":
        yield _counted("MLP channels", structure.groups, groups, 1, lost)
        return
    each = structure.heads_each
    yield _counted("attention heads", structure.groups, groups, each, lost)
    if each > 1:
        yield _counted("key-value heads", structure.groups, groups, 1)


def _counted(name: str, before: int, groups: list[int], each: int, lost: tuple[float, ...] = ()) -> Narrowed:
    """`each` of what is counted is a group. Where blocks differ, `after` is the fewest that a block has."""
    by_block = tuple(each * count for count in groups)
    differ = len(set(by_block)) > 1
    return Narrowed(
        name=name, before=each * before, after=min(by_block), lost=lost, by_block=by_block if differ else ()
    )


def _share_lost(scores: Tensor, kept: tuple[int, ...]) -> float:
    whole = float(scores.double().sum())
    return 1 - float(scores[list(kept)].double().sum()) / whole if whole > 0 else 0.0


# ---- compensation


def compensated(
    given: Given,
    dampening: float,
    structures: tuple[Structure, ...],
    kept: Kept,
    blocks: Sequence[int] | None = None,
) -> Generator[Event, None, Path]:
    """The dense model's files, in which the columns that stay have taken over and the others are zero.

    blocks: those that stay, all when None; the others are left out and stay as they are.
    """
    store, clock = given.opened.store, given.context.clock
    readers = {one.members[-1].layer: one for one in structures}
    layers = [layer for layer in given.opened.layers if layer.name in readers]
    yield given.progress("embedding the calibration text")
    entering = given.entering(given.calibration)
    walk = Halting(entering.states, given.batch, layers, clock)
    with given.changing():
        yield from Runner(store, entering).run(_Compensator(given, dampening, walk, readers, kept), blocks)
        return store.finish()


class _Compensator:
    """A visitor that removes columns of the output projections, in the order in which a token meets them."""

    def __init__(
        self, given: Given, dampening: float, walk: Halting, readers: Mapping[str, Structure], kept: Kept
    ):
        self._given, self._dampening, self._walk = given, dampening, walk
        self._readers, self._kept = readers, kept

    def to(self, device: torch.device) -> None:
        self._walk.to(device)

    def visit(self, block: OpenBlock) -> Generator[Event, None, None]:
        changed_layers: list[Layer] = []
        for arrival in self._walk.visit(block):
            if arrival is None:
                yield self._given.progress("output projections make up for what goes", block.index)
                continue
            yield from self._compensated(*arrival)
            changed_layers.append(arrival.layer)
        parameters = {id(layer.parameter) for layer in changed_layers}
        names = {name for name, one in block.module.named_parameters() if id(one) in parameters}
        self._given.opened.store.commit(block.index, names)

    def _compensated(self, layer: Layer, stats: LayerStats) -> Iterator[Event]:
        structure = self._readers[layer.name]
        reader: Member = structure.members[-1]
        pruned = torch.ones(layer.in_features, dtype=torch.bool, device=layer.matrix.device)
        pruned[list(reader.places(self._kept[layer.block, structure.unit]))] = False
        if not pruned.any():  # a block that stays whole
            return
        dense = layer.matrix.float().contiguous()
        with self._given.context.clock("solve"):
            solved, warned = with_dampening(
                lambda dampening: without_columns(dense, pruned, stats.gram, dampening),
                self._dampening,
                layer,
            )
        yield from warned
        layer.write_(self._given.rounded(solved))
