"""What a search of this model may choose from, and how a candidate is measured and made."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from apt_core.events import Candidate, Event, Progress
from apt_core.execute.shrink_given import Given, Planned, reporting
from apt_core.execute.shrink_widths import (
    Kept,
    compensated,
    cuts_of,
    narrowed,
    scores_of,
    shapes_after,
    structures_of,
    width_changes,
)
from apt_core.families import Structure
from apt_core.jobs import Search
from apt_core.methods.searching.shapes import Budget, Shape
from apt_core.models.checkpoint.reshaped import ModelEdit
from apt_core.models.load.smaller_config import changed, check_builds, with_blocks
from apt_core.passes.block_scores import block_influences
from apt_core.passes.genomes import Genome, Importance
from apt_core.passes.masked import Masked

Result = TypeVar("Result")
_MOST_INFLUENCE = 2.0  # of 1 - cosine; also that of a block whose states are not finite


class Space(NamedTuple):
    """shapes: [out, in] of the layers of a block. query_heads: of a block of the dense model."""

    structures: tuple[Structure, ...]
    shapes: dict[str, tuple[int, int]]
    budget: Budget
    allowed: tuple[Shape, ...]
    start: Shape
    query_heads: int

    def candidate(self, genome: Genome, perplexity: float) -> Candidate:
        """What the record of a run says of it."""
        each = next((one.heads_each for one in self.structures if one.unit == "heads"), 0)
        return Candidate(
            perplexity=perplexity if perplexity < float("inf") else None,
            parameters=self.budget.weights_of(genome.shape),
            blocks=genome.shape.blocks,
            heads=genome.shape.heads * each or self.query_heads,
            channels=genome.shape.channels,
        )

    def masked(self, genome: Genome) -> Masked:
        """The inputs that output projections would still read."""
        columns: dict[tuple[int, str], Tensor] = {}
        for one in self.structures:
            reader = one.members[-1]
            for block in genome.kept_blocks:
                read = torch.zeros(self.shapes[reader.layer][1])
                read[list(reader.places(_numbers(genome.groups[one.unit][block])))] = 1
                columns[block, reader.layer] = read
        return Masked(genome.kept_blocks, columns)


def space_of(given: Given) -> Space:
    """Raises BadInput where the model has no groups, or no shape within the budget."""
    job, (structures, shapes) = cast(Search, given.job), structures_of(given)
    budget = Budget(
        keep=job.keep,
        tolerance=job.evolution.tolerance,
        blocks=len(given.opened.store.blocks),
        weights=sum(rows * columns for rows, columns in shapes.values()),
        structures={one.unit: (one.groups, one.weights_each(shapes)) for one in structures},
        multiple=job.evolution.multiple,
    )
    heads = given.opened.model.config.get_text_config().num_attention_heads
    return Space(structures, shapes, budget, budget.shapes(), budget.start(), heads)


def importance_of(given: Given, space: Space) -> Generator[Event, None, Importance]:
    """Of groups as LLM-Pruner has it; of blocks by how far they turn hidden states."""
    job, store = cast(Search, given.job), given.opened.store
    scores = yield from scores_of(given, job.evolution, space.structures)
    yield given.progress("embedding the calibration text")
    entering, clock = given.entering(given.first), given.context.clock
    batch = min(given.batch, len(given.first))
    steps, total = block_influences(store, entering, batch), len(store.blocks) * -(-len(given.first) // batch)
    influences = yield from reporting(steps, given, "how far blocks turn states", total, clock, "forward")
    groups: dict[str, Tensor] = {
        one.unit: torch.stack([scores[block, one.unit].double() for block in range(len(store.blocks))])
        for one in space.structures
    }
    blocks = torch.tensor(influences, dtype=torch.float64).nan_to_num(_MOST_INFLUENCE)
    return Importance(blocks, groups)


class Edited(NamedTuple):
    """What a genome does to the dense model. kept: (block, unit) -> the groups that stay, also of blocks that go."""

    edit: ModelEdit
    kept: Kept


def edit_of(given: Given, space: Space, genome: Genome) -> Edited:
    """Raises BadInput where plain transformers would not build that model."""
    opened, blocks, count = given.opened, genome.kept_blocks, len(given.opened.store.blocks)
    kept = {
        (block, unit): _numbers(found[block])
        for unit, found in genome.groups.items()
        for block in range(count)
    }
    counts = {(block, unit): genome.shape.groups(unit) for block, unit in kept}
    cuts, narrower = (
        cuts_of(given, space.structures, kept),
        width_changes(given, space.structures, counts),
    )
    if len(blocks) == count:
        config = changed(opened.folder, narrower)
    else:
        config = with_blocks(opened.folder, opened.model.config, blocks, narrower)
    shapes = shapes_after(given, cuts)
    check_builds(config, [shapes[block] for block in blocks])
    return Edited(ModelEdit(blocks, cuts, config), kept)


def made(
    given: Given, space: Space, importance: Importance, genome: Genome
) -> Generator[Event, None, Planned]:
    """The smaller model that a genome says, its output projections compensated."""
    job, count = cast(Search, given.job), len(given.opened.store.blocks)
    edit, kept = edit_of(given, space, genome)
    folder = yield from _saving(
        compensated(given, job.evolution.dampening, space.structures, kept, edit.blocks)
    )
    scores = {
        (block, unit): found[block] for unit, found in importance.groups.items() for block in range(count)
    }
    gone = tuple(one for structure in space.structures for one in narrowed(structure, scores, kept))
    said = "Block Influence, 1 - cosine of what enters and leaves" if len(edit.blocks) < count else ""
    return Planned(edit, folder, count, said, tuple(importance.blocks.tolist()), gone)


def _saving(steps: Generator[Event, None, Result]) -> Generator[Event, None, Result]:
    """The same events, those of progress as parts of what comes after the search."""
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            return cast(Result, end.value)
        yield event.model_copy(update={"stage": "save"}) if isinstance(event, Progress) else event


def _numbers(kept: Tensor) -> tuple[int, ...]:
    return tuple(kept.nonzero().flatten().tolist())
