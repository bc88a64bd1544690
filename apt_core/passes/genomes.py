"""Candidates of an evolutionary search: which blocks, heads and channels stay; how new ones are made of old ones.

Equal widths are a rule of the shapes alone: a genome holds a set of its own for every block, so widths that differ
from block to block would need another list of shapes and nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from apt_core.maths.kept_sets import Draws, most_important, redrawn, resized
from apt_core.methods.searching.shapes import Shape

_FAR = 2  # blocks, by which a mutation changes the depth at most
Thing = TypeVar("Thing")


class Importance(NamedTuple):
    """blocks: [blocks]. groups: unit -> [blocks, groups]. On the CPU."""

    blocks: Tensor
    groups: Mapping[str, Tensor]


class Genome(NamedTuple):
    """True where something stays. blocks: [blocks]. groups: unit -> [blocks, groups], also of blocks that go, so that
    they come back as they were."""

    shape: Shape
    blocks: Tensor
    groups: Mapping[str, Tensor]

    @property
    def kept_blocks(self) -> tuple[int, ...]:
        return tuple(self.blocks.nonzero().flatten().tolist())

    @property
    def key(self) -> bytes:
        """What two genomes that make the same model have in common."""
        staying = [self.groups[unit][self.blocks] for unit in sorted(self.groups)]
        return b"".join(one.numpy().tobytes() for one in (self.blocks, *staying))


class Chances(NamedTuple):
    """Of a mutation."""

    width: float
    depth: float
    draws: Draws


def by_importance(shape: Shape, importance: Importance) -> Genome:
    """What is most important stays."""
    groups = {
        unit: torch.stack([most_important(of_block, shape.groups(unit)) for of_block in found])
        for unit, found in importance.groups.items()
    }
    return Genome(shape, most_important(importance.blocks, shape.blocks), groups)


def first_ones(
    start: Shape, shapes: Sequence[Shape], importance: Importance, count: int, chances: Chances, seed: int
) -> list[Genome]:
    """The candidates that a search begins with: `start` first, then one of each shape near it, then mutations of
    these."""
    others = sorted((shape for shape in shapes if shape != start), key=lambda shape: _distance(start, shape))
    found = [by_importance(shape, importance) for shape in (start, *others)][:count]
    generator = generator_of(seed, 0)
    for place in range(count - len(found)):
        found.append(mutated(found[place % len(found)], shapes, importance, chances, generator))
    return found


def mutated(
    genome: Genome,
    shapes: Sequence[Shape],
    importance: Importance,
    chances: Chances,
    generator: torch.Generator,
) -> Genome:
    """One candidate changed: with its chance the depth and which blocks stay, with another the number of heads, and
    block by block which heads and which channels."""
    deeper, wider = _happens(chances.depth, generator), _happens(chances.width, generator)
    shape = _near(genome.shape, shapes, deeper, wider, generator)
    blocks = genome.blocks
    if deeper or shape.blocks != genome.shape.blocks:
        blocks = redrawn(blocks, shape.blocks, importance.blocks, chances.draws, generator)
    groups = {}
    for unit, found in genome.groups.items():
        count, rows = shape.groups(unit), []
        for kept, of_block in zip(found, importance.groups[unit], strict=True):
            changes = _happens(chances.width, generator) or count != genome.shape.groups(unit)
            rows.append(redrawn(kept, count, of_block, chances.draws, generator) if changes else kept)
        groups[unit] = torch.stack(rows)
    return Genome(shape, blocks, groups)


def crossed(one: Genome, other: Genome, importance: Importance, generator: torch.Generator) -> Genome:
    """A candidate with the shape and the blocks of one of two, and in each block the heads and the channels of either;
    what has another size than the shape says is brought to it by importance."""
    lead = (one, other)[int(torch.randint(2, (1,), generator=generator))]
    groups = {}
    for unit, of_unit in importance.groups.items():
        count, rows = lead.shape.groups(unit), []
        for block, of_block in enumerate(of_unit):
            chosen = (one, other)[int(torch.randint(2, (1,), generator=generator))]
            rows.append(resized(chosen.groups[unit][block], count, of_block))
        groups[unit] = torch.stack(rows)
    return Genome(lead.shape, lead.blocks, groups)


def children(
    parents: Sequence[Genome],
    shapes: Sequence[Shape],
    importance: Importance,
    chances: Chances,
    mutations: int,
    crossings: int,
    generator: torch.Generator,
) -> Iterator[Genome]:
    """Mutations of the parents, then crossings of two of them, each parent as likely as another."""
    for _ in range(mutations):
        yield mutated(_one_of(parents, generator), shapes, importance, chances, generator)
    for _ in range(crossings):
        yield crossed(_one_of(parents, generator), _one_of(parents, generator), importance, generator)


def generator_of(seed: int, generation: int) -> torch.Generator:
    """The random numbers of one generation, so that a search that was stopped goes on with the same ones."""
    return torch.Generator().manual_seed((seed * 1_000_003 + generation) % 2**63)


def _near(
    shape: Shape, shapes: Sequence[Shape], deeper: bool, wider: bool, generator: torch.Generator
) -> Shape:
    """A shape of about the same depth and number of heads where these are to change, else the same one."""
    found = [
        other
        for other in shapes
        if (other.blocks != shape.blocks if deeper else other.blocks == shape.blocks)
        and abs(other.blocks - shape.blocks) <= _FAR
        and (abs(other.heads - shape.heads) == 1 if wider else other.heads == shape.heads)
    ]
    return _one_of(found, generator) if found and (deeper or wider) else shape


def _distance(one: Shape, other: Shape) -> tuple[int, int, int]:
    blocks, heads = abs(one.blocks - other.blocks), abs(one.heads - other.heads)
    return blocks + heads, blocks, -other.heads


def _happens(chance: float, generator: torch.Generator) -> bool:
    return float(torch.rand(1, generator=generator, dtype=torch.float64)) < chance


def _one_of(things: Sequence[Thing], generator: torch.Generator) -> Thing:
    return things[int(torch.randint(len(things), (1,), generator=generator))]
