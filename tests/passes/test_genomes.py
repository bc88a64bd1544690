"""Candidates: whatever is done to them they stay within the budget, equally wide in every block."""

from __future__ import annotations

import math

import pytest
import torch

from apt_core.maths.kept_sets import Draws
from apt_core.methods.searching.shapes import Budget
from apt_core.passes.genomes import (
    Chances,
    Importance,
    by_importance,
    children,
    crossed,
    first_ones,
    generator_of,
    mutated,
)

BLOCKS, HEADS, CHANNELS = 8, 4, 40
STRUCTURES = {"heads": (HEADS, 60), "channels": (CHANNELS, 18)}
BUDGET = Budget(0.7, 0.02, BLOCKS, HEADS * 60 + CHANNELS * 18, STRUCTURES, 1)
SHAPES = BUDGET.shapes()
CHANCES = Chances(0.2, 0.4, Draws())


def importance(seed=0):
    generator = torch.Generator().manual_seed(seed)
    groups = {
        unit: torch.rand(BLOCKS, count, generator=generator, dtype=torch.float64)
        for unit, (count, _) in STRUCTURES.items()
    }
    return Importance(torch.rand(BLOCKS, generator=generator, dtype=torch.float64), groups)


def check(genome):
    """Sizes are what the shape says, in every block; the shape is one of those within the budget."""
    assert genome.shape in SHAPES
    assert int(genome.blocks.sum()) == genome.shape.blocks == len(genome.kept_blocks)
    for unit, found in genome.groups.items():
        assert found.dtype == torch.bool and found.shape == (BLOCKS, STRUCTURES[unit][0])
        assert (found.sum(dim=1) == genome.shape.groups(unit)).all()


def test_what_is_most_important_stays():
    found = importance()
    genome = by_importance(BUDGET.start(), found)
    check(genome)
    for unit, kept in genome.groups.items():
        for block in range(BLOCKS):
            lost = found.groups[unit][block][~kept[block]]
            assert not len(lost) or lost.max() <= found.groups[unit][block][kept[block]].min()


@pytest.mark.parametrize("count", [1, 5, 60])
def test_the_first_ones_begin_with_the_uniform_widths(count):
    found = first_ones(BUDGET.start(), SHAPES, importance(), count, CHANCES, seed=3)
    assert len(found) == count
    assert found[0].shape == BUDGET.start() and found[0].blocks.all()
    assert found[0].key == by_importance(BUDGET.start(), importance()).key
    for genome in found:
        check(genome)
    assert len({genome.shape for genome in found}) == min(count, len(SHAPES))


def test_mutations_and_crossings_stay_within_the_budget_for_many_seeds():
    for seed in range(8):
        population = first_ones(BUDGET.start(), SHAPES, importance(seed), 6, CHANCES, seed)
        for generation in range(1, 4):
            generator = generator_of(seed, generation)
            new = [*children(population, SHAPES, importance(seed), CHANCES, 5, 3, generator)]
            assert len(new) == 8
            for genome in new:
                check(genome)
            population = new


def test_a_mutation_of_one_size_leaves_most_of_every_set():
    genome, draws = by_importance(BUDGET.start(), importance()), Draws(0.8, 10)
    for seed in range(30):
        found = mutated(genome, SHAPES, importance(), Chances(0.5, 0.0, draws), generator_of(seed, 1))
        if found.shape != genome.shape:
            continue
        for unit, kept in genome.groups.items():
            enough = math.floor(0.8 * genome.shape.groups(unit))
            assert ((kept & found.groups[unit]).sum(dim=1) >= enough).all()


def test_chances_of_zero_change_nothing_and_of_one_nearly_everything():
    genome = by_importance(BUDGET.start(), importance())
    none = [
        mutated(genome, SHAPES, importance(), Chances(0, 0, Draws()), generator_of(s, 1)) for s in range(5)
    ]
    assert {one.key for one in none} == {genome.key}
    all_ = [
        mutated(genome, SHAPES, importance(), Chances(1, 1, Draws()), generator_of(s, 1)) for s in range(20)
    ]
    assert sum(one.key != genome.key for one in all_) == 20
    assert len({one.shape.blocks for one in all_}) > 1


def test_a_crossing_takes_each_set_from_either_parent():
    """Of two parents of one shape no set of the child is anybody else's, and both have given some."""
    found = importance()
    chances = Chances(0.9, 0, Draws(0.5))
    one = by_importance(BUDGET.start(), found)
    other = next(
        genome
        for seed in range(99)
        if (genome := mutated(one, SHAPES, found, chances, generator_of(seed, 1))).shape == one.shape
    )
    child = crossed(one, other, found, generator_of(5, 1))
    check(child)
    given = {0: 0, 1: 0}
    for unit, kept in child.groups.items():
        for block in range(BLOCKS):
            of = [torch.equal(kept[block], parent.groups[unit][block]) for parent in (one, other)]
            assert any(of)
            given[of.index(True)] += 1
    assert given[0] and given[1]


def test_genomes_that_make_the_same_model_are_alike():
    """What would stay in a block that goes makes no difference."""
    shape = next(shape for shape in SHAPES if shape.blocks < BLOCKS)
    genome = by_importance(shape, importance())
    gone = int((~genome.blocks).nonzero()[0])
    channels = genome.groups["channels"].clone()
    channels[gone] = channels[gone].flip(0)
    assert genome._replace(groups=genome.groups | {"channels": channels}).key == genome.key
    stays = genome.kept_blocks[0]
    channels[stays] = ~channels[stays]
    assert genome._replace(groups=genome.groups | {"channels": channels}).key != genome.key


def test_random_numbers_are_those_of_seed_and_generation():
    def numbers(seed, generation):
        return torch.rand(4, generator=generator_of(seed, generation)).tolist()

    assert numbers(1, 2) == numbers(1, 2)
    assert len({tuple(numbers(seed, gen)) for seed in (0, 1, 2**32 - 1) for gen in (0, 1, 2)}) == 9
