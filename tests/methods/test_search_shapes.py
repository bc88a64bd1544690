"""What is within a search's budget, and where a search begins."""

from __future__ import annotations

import pytest

from apt_core.base.errors import BadOption
from apt_core.methods.searching.evolution import Evolution
from apt_core.methods.searching.shapes import Budget, Shape

# SmolLM2 135M: 30 blocks, 3 key-value heads of 3 query heads of 64, MLP of 1536, hidden size 576.
HEADS, CHANNELS = (3, 4 * 64 * 576 + 4 * 64 * 576), (1536, 3 * 576)
WEIGHTS = 3 * HEADS[1] + 1536 * CHANNELS[1]


def smollm(keep, tolerance=0.01, multiple=8):
    structures = {"heads": HEADS, "channels": CHANNELS}
    return Budget(keep, tolerance, 30, WEIGHTS, structures, multiple)


@pytest.mark.parametrize("keep", [0.3, 0.5, 0.8, 0.95])
def test_every_shape_keeps_the_budget(keep):
    budget = smollm(keep)
    shapes = budget.shapes()
    assert len(shapes) == len(set(shapes)) > 1
    for shape in shapes:
        assert abs(budget.share_of(shape) - keep) <= 0.01
        assert 1 <= shape.blocks <= 30 and 1 <= shape.heads <= 3
        assert shape.channels % 8 == 0 and 8 <= shape.channels <= 1536
    assert {shape.blocks for shape in shapes} > {30}
    assert budget.fits(budget.start()) and budget.start().blocks == 30


def test_weights_are_counted_as_they_are():
    budget = smollm(0.8)
    assert budget.weights_of(Shape(30, 3, 1536)) == 30 * WEIGHTS
    assert budget.weights_of(Shape(10, 2, 1000)) == 10 * (2 * HEADS[1] + 1000 * CHANNELS[1])


def test_the_start_is_that_of_llm_pruner():
    """Heads go by the share itself, rounded; channels by what is left."""
    start = smollm(0.8).start()
    assert start.heads == 2
    assert abs(smollm(0.8).share_of(start) - 0.8) < 0.002


def test_a_model_without_heads_to_remove_has_channels_and_blocks():
    budget = Budget(0.7, 0.01, 6, 1000, {"channels": (200, 3)}, 1)
    assert all(shape.heads == 0 for shape in budget.shapes())
    assert budget.start().blocks == 6


def test_an_impossible_budget_is_one_sentence_with_what_is_possible():
    budget = Budget(0.5, 0.001, 3, 1000, {"channels": (16, 20)}, 16)
    with pytest.raises(BadOption, match=r"keeps 50.0% .* within 0.1%; the nearest keeps \d"):
        budget.shapes()


def test_a_generation_has_the_proportions_of_the_paper():
    published = Evolution(population=500)
    assert (published.mutations, published.crossings, published.parents) == (350, 100, 300)
    for population in range(2, 30):
        small = Evolution(population=population)
        assert small.mutations >= 1 and small.crossings >= 1 and small.parents >= 2
