"""Exact counts, whatever the scores."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apt_core.base.errors import BadPattern
from apt_core.base.patterns import SemiStructured, Unstructured, parse_pattern
from apt_core.maths import pattern as patterns


@given(rows=st.integers(1, 9), columns=st.integers(1, 30), k=st.integers(0, 300), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_exactly_k_go_and_they_are_the_lowest(rows, columns, k, seed):
    torch.manual_seed(seed)
    scores = torch.randint(0, 4, (rows, columns)).float()  # many ties
    k = min(k, scores.numel())
    pruned = patterns.lowest(scores, k)
    assert int(pruned.sum()) == k
    if 0 < k < scores.numel():
        assert scores[pruned].max() <= scores[~pruned].min()


def test_ties_go_by_index():
    assert patterns.lowest(torch.ones(1, 6), 2).tolist() == [[True, True, False, False, False, False]]
    assert patterns.lowest_per_group(torch.ones(1, 8), 1, 4).tolist() == [
        [True] * 3 + [False] + [True] * 3 + [False]
    ]


@pytest.mark.parametrize(("keep", "of"), [(n, m) for m in range(2, 9) for n in range(1, m)])
def test_every_group_keeps_exactly_n(keep, of):
    pruned = patterns.lowest_per_group(torch.rand(5, of * 6), keep, of)
    assert ((~pruned).reshape(-1, of).sum(dim=1) == keep).all()


@given(out=st.integers(1, 12), width=st.integers(1, 24), sparsity=st.floats(0, 0.99))
@settings(max_examples=60, deadline=None)
def test_rows_share_the_budget_exactly(out, width, sparsity):
    pruned = patterns.choose_by_row(torch.rand(out, width), Unstructured(sparsity=sparsity))
    assert int(pruned.sum()) == patterns.removed_count(out * width, sparsity)
    counts = pruned.sum(dim=1)
    assert counts.max() - counts.min() <= 1


@given(
    rows=st.integers(1, 20),
    width=st.integers(1, 300),
    block=st.integers(16, 128),
    sparsity=st.floats(0, 0.99),
)
@settings(max_examples=60, deadline=None)
def test_block_budgets_add_up(rows, width, block, sparsity):
    blocks = patterns.column_blocks(width, block, Unstructured(sparsity=sparsity))
    total = sum(patterns.block_budget(rows, start, stop, sparsity) for start, stop in blocks)
    assert total == patterns.removed_count(rows * width, sparsity)
    assert all(
        0 <= patterns.block_budget(rows, start, stop, sparsity) <= rows * (stop - start)
        for start, stop in blocks
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1.0", "out of range"),
        ("-0.1", "out of range"),
        ("nan", "not a number"),
        ("inf", "not a number"),
        ("4:2", "not possible"),
        ("0:4", "not possible"),
        ("2:2", "not possible"),
        ("2:17", "not possible"),
        ("two:four", "neither"),
        ("", "neither"),
    ],
)
def test_bad_patterns_get_one_sentence(text, says):
    with pytest.raises(BadPattern, match=says):
        parse_pattern(text)


def test_good_patterns():
    assert parse_pattern("2:4") == SemiStructured(keep=2, of=4)
    assert parse_pattern(" 50% ") == Unstructured(sparsity=0.5)
    assert parse_pattern("0.5").label == "50%"
    assert parse_pattern("0").sparsity == 0


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(BadPattern, match="divisible by 3"):
        patterns.check_fits(64, SemiStructured(keep=1, of=3))


def test_column_blocks_keep_groups_whole():
    for block_size, of in ((128, 3), (16, 7), (16, 16)):
        blocks = patterns.column_blocks(of * 20, block_size, SemiStructured(keep=1, of=of))
        assert blocks[0][0] == 0
        assert blocks[-1][1] == of * 20
        assert all((stop - start) % of == 0 and stop - start <= block_size for start, stop in blocks)


def test_is_exact_sees_a_group_with_one_weight_too_many():
    weight = torch.tensor([[1.0, 0, 2, 0, 1, 1, 1, 0]])
    assert not patterns.is_exact(weight, SemiStructured(keep=2, of=4))
    assert patterns.is_exact(weight[:, :4], SemiStructured(keep=2, of=4))
    assert not patterns.is_exact(weight, Unstructured(sparsity=0.5))
