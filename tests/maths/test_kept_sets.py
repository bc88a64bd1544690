"""Moves of a kept set: sizes are exact, most of it stays, and what is important is drawn more often."""

from __future__ import annotations

import math

import pytest
import torch

from apt_core.maths.kept_sets import Draws, most_important, redrawn, resized


def drawn(seed):
    return torch.Generator().manual_seed(seed)


def a_set(groups, count, seed=0):
    kept = torch.zeros(groups, dtype=torch.bool)
    kept[torch.randperm(groups, generator=drawn(seed))[:count]] = True
    return kept


def test_the_most_important_stay_and_ties_go_by_number():
    kept = most_important(torch.tensor([1.0, 2.0, 1.0, 3.0]), 3)
    assert kept.tolist() == [False, True, True, True]
    assert most_important(torch.ones(4), 2).tolist() == [False, False, True, True]
    assert most_important(torch.ones(3), 0).tolist() == [False] * 3


def test_a_set_is_resized_by_importance():
    kept, importance = torch.tensor([True, True, False]), torch.tensor([1.0, 3.0, 2.0])
    assert resized(kept, 1, importance).tolist() == [False, True, False]
    assert resized(kept, 3, importance).tolist() == [True, True, True]
    assert resized(torch.tensor([True, False, False]), 2, importance).tolist() == [True, True, False]


@pytest.mark.parametrize("groups", [1, 2, 3, 9, 40])
@pytest.mark.parametrize("by_importance", [True, False])
def test_size_and_overlap_hold_for_every_draw(groups, by_importance):
    """Whatever the old and the new size: exactly so many stay, and enough of the old ones."""
    importance = torch.rand(groups, generator=drawn(1))
    for seed in range(60):
        generator = drawn(seed)
        old, new = (int(torch.randint(1, groups + 1, (1,), generator=generator)) for _ in range(2))
        similarity = float(torch.rand(1, generator=generator))
        kept = a_set(groups, old, seed)
        found = redrawn(kept, new, importance, Draws(similarity, 5, by_importance), generator)
        assert int(found.sum()) == new
        assert int((found & kept).sum()) >= math.floor(similarity * min(old, new))


def test_a_mutation_changes_something_and_similarity_one_nothing():
    kept, importance = a_set(40, 30), torch.rand(40, generator=drawn(3))
    changed = [redrawn(kept, 30, importance, Draws(0.8, 10), drawn(seed)) for seed in range(20)]
    assert sum(not torch.equal(one, kept) for one in changed) > 10
    for seed in range(20):
        assert torch.equal(redrawn(kept, 30, importance, Draws(1.0, 50), drawn(seed)), kept)


def test_where_no_draw_is_similar_enough_the_old_set_stays():
    """One try at a similarity that hardly any draw reaches: the old set, resized by importance."""
    kept, importance = a_set(200, 100), torch.rand(200, generator=drawn(3))
    found = [redrawn(kept, 90, importance, Draws(0.99, 1), drawn(seed)) for seed in range(20)]
    assert sum(torch.equal(one, resized(kept, 90, importance)) for one in found) > 10


def test_important_groups_are_drawn_more_often():
    """Of the lower half of the ranks far fewer come back than of the upper half; drawn alike, about as many."""
    importance = torch.arange(100.0)
    kept = torch.zeros(100, dtype=torch.bool)
    kept[::2] = True

    def come(by_importance):
        low = high = 0
        for seed in range(40):
            found = redrawn(kept, 50, importance, Draws(0.5, 10, by_importance), drawn(seed)) & ~kept
            low, high = low + int(found[:50].sum()), high + int(found[50:].sum())
        return low, high

    low, high = come(True)
    assert high > 4 * low
    low, high = come(False)
    assert 0.7 < high / low < 1.4
