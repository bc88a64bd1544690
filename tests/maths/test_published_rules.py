"""The published rules, written anew from their papers in float64, against ours on the same Gram matrices."""

from __future__ import annotations

import pytest
import torch

from apt_core.base.patterns import SemiStructured, parse_pattern
from apt_core.maths.block_masks import choose_block
from apt_core.maths.error import relative_error
from apt_core.maths.gradual import gradual_mask
from apt_core.maths.hessian import LayerStats, dampened, inverse_factor
from apt_core.maths.pattern import choose
from apt_core.maths.saliency import conditional, ria
from apt_core.methods import METHODS, make_method


def problem(out=32, width=64, tokens=400, seed=0):
    """Inputs of very different sizes, as real ones are: a ridge before scaling is another ridge after it."""
    torch.manual_seed(seed)
    inputs = (
        torch.randn(tokens, width) @ torch.randn(width, width) / width**0.5 * torch.logspace(-1, 1, width)
    )
    return torch.randn(out, width), inputs.T @ inputs


def gradual_by_the_paper(weight, gram, pattern, ridge=0.1, rho=1.0, steps=20, choosing=15):
    """Columns normalised, then the ridge; sparsity 1 - (1 - t/15)^3 of the final one, N:M among its own candidates."""
    work, gram = weight.double(), gram.double()
    norm = gram.diagonal().sqrt()
    normal = gram / torch.outer(norm, norm) + ridge * torch.eye(len(gram), dtype=torch.float64)
    w = (work * norm).T
    right, inverse = normal @ w, torch.linalg.inv(normal + rho * torch.eye(len(normal), dtype=torch.float64))
    u, kept = torch.zeros_like(w), torch.ones_like(w)
    final = round(pattern.sparsity * w.numel())
    for step in range(steps):
        if step < choosing:
            size = (w + u).abs().T.contiguous()
            if isinstance(pattern, SemiStructured):
                groups = size.view(-1, pattern.of)
                largest = groups.topk(pattern.keep, dim=1).indices
                size = groups.scatter(1, largest, torch.inf).view(size.shape)
            now = int(final * (1 - (1 - (step + 1) / choosing) ** 3))
            gone = size.flatten().argsort()[:now]
            kept = torch.ones_like(size).flatten().index_fill(0, gone, 0).view(size.shape).T
        z = (w + u) * kept
        u = u + w - z
        w = inverse @ (right + rho * (z - u))
    return ((w + u) * kept).T / norm, kept.T == 0


@pytest.mark.parametrize("pattern", ["0.5", "0.7", "2:4", "4:8", "1:4"])
def test_gradual_admm_is_the_papers(pattern):
    weight, gram = problem()
    pruned, found = gradual_mask(weight, gram, parse_pattern(pattern))
    expected, gone = gradual_by_the_paper(weight, gram, parse_pattern(pattern))
    assert (pruned == gone).float().mean() > 0.995  # rounding can turn a few close calls
    ours, theirs = (relative_error(weight, one.float(), gram) for one in (found, expected))
    assert ours == pytest.approx(theirs, rel=5e-3)
    by_method = make_method("admm").prune(weight, LayerStats(gram, 400), parse_pattern(pattern))
    assert torch.equal(by_method.pruned, pruned)


def test_ria_compares_the_whole_matrix_unless_told_otherwise():
    weight, gram = problem()
    size = weight.double().abs()
    score = (size / size.sum(0) + size / size.sum(1, keepdim=True)) * gram.double().diagonal() ** 0.25
    half = weight.numel() // 2
    whole = torch.zeros(weight.numel(), dtype=torch.bool)
    whole[score.flatten().argsort()[:half]] = True
    rows = torch.zeros_like(size, dtype=torch.bool).scatter(
        1, score.argsort(dim=1)[:, : size.shape[1] // 2], True
    )
    wanted = parse_pattern("0.5")
    assert torch.equal(choose(ria(weight, gram), wanted, "matrix"), whole.view(size.shape))
    assert torch.equal(choose(ria(weight, gram), wanted, "row"), rows)
    assert not torch.equal(whole.view(size.shape), rows)
    assert torch.equal(
        make_method("ria").prune(weight, LayerStats(gram, 400), wanted).pruned, whole.view(size.shape)
    )


def test_s_is_the_least_squares_loss_of_each_removal_with_the_left_frozen():
    """Brute force: remove one weight of a block, let the block and all to its right move, measure what is lost."""
    weight, gram = problem(out=3, width=16)
    hessian = dampened(gram, 0.01)
    start, stop = 5, 11
    factor = inverse_factor(hessian)[start:stop, start:stop]
    scores = conditional(weight[:, start:stop], factor)
    exact = hessian.double()[start:, start:]
    for row in range(3):
        for place in range(stop - start):
            others = [k for k in range(len(exact)) if k != place]
            gone = float(weight[row, start + place])
            move = torch.linalg.solve(exact[others][:, others], exact[others][:, place] * gone)
            change = torch.zeros(len(exact), dtype=torch.float64)
            change[place], change[others] = -gone, move
            assert float(scores[row, place]) == pytest.approx(float(change @ exact @ change), rel=1e-3)


def test_the_example_of_the_text():
    factor = inverse_factor(torch.tensor([[2.0, 1.0], [1.0, 2.0]]))
    assert conditional(torch.tensor([[1.0, 3.0]]), factor).tolist()[0] == pytest.approx([1.5, 13.5])


@pytest.mark.parametrize("joint", [False, True])
def test_a_block_removes_what_costs_least_with_everything_in_it_free_to_move(joint):
    """One removal per block: by brute force over all of them, also where the best is not the first column."""
    for seed in range(12):
        weight, gram = problem(out=1, width=10, tokens=40, seed=seed)
        hessian = dampened(gram, 0.01)
        exact = hessian.double()
        losses = [
            float(weight[0, q].double() ** 2 / torch.linalg.inv(exact)[q, q]) for q in range(len(exact))
        ]
        chosen = choose_block(weight, inverse_factor(hessian), parse_pattern("0.1"), 1, joint)
        assert losses[int(chosen[0].nonzero())] == pytest.approx(min(losses), rel=1e-4)


@pytest.mark.parametrize("pattern", ["0.5", "2:4"])
@pytest.mark.parametrize("unit", [2.0**-80, 2.0**-40, 2.0**30])
@pytest.mark.parametrize("name", [name for name in METHODS if name != "d2prune"])
def test_the_unit_of_the_inputs_changes_nothing(name, unit, pattern):
    """D2Prune apart, whose published score adds terms of different units."""
    weight, gram = problem()
    first = make_method(name).prune(weight, LayerStats(gram, 400), parse_pattern(pattern))
    other = make_method(name).prune(weight, LayerStats(gram * unit, 400), parse_pattern(pattern))
    assert (first.pruned == other.pruned).float().mean() > 0.99
    ours, theirs = (relative_error(weight, one.weight, gram) for one in (first, other))
    assert ours == pytest.approx(theirs, rel=1e-2)


@pytest.mark.parametrize("pattern", ["0.5", "2:4"])
@pytest.mark.parametrize("unit", [2.0**-20, 2.0**20])
@pytest.mark.parametrize("name", [name for name in METHODS if name != "d2prune"])
def test_the_unit_of_the_weights_changes_nothing(name, unit, pattern):
    weight, gram = problem()
    first = make_method(name).prune(weight, LayerStats(gram, 400), parse_pattern(pattern))
    other = make_method(name).prune(weight * unit, LayerStats(gram, 400), parse_pattern(pattern))
    assert (first.pruned == other.pruned).float().mean() > 0.99
    assert relative_error(weight, other.weight / unit, gram) == pytest.approx(
        relative_error(weight, first.weight, gram), rel=1e-2
    )


@pytest.mark.parametrize("shape", [(1, 16), (16, 4), (4, 64), (1, 4)])
@pytest.mark.parametrize("pattern", ["0", "0.01", "0.5", "0.99", "1:4", "2:4"])
@pytest.mark.parametrize("name", METHODS)
def test_odd_shapes(name, pattern, shape):
    """A single row, fewer inputs than outputs, nothing to remove, almost all to remove, fewer tokens than inputs."""
    weight, gram = problem(*shape, tokens=8)
    wanted = parse_pattern(pattern)
    result = make_method(name).prune(weight, LayerStats(gram, 8), wanted)
    assert int(result.pruned.sum()) == round(weight.numel() * wanted.sparsity)
    assert torch.isfinite(result.weight).all()
    if not result.pruned.any() and name != "apt-joint":
        assert torch.allclose(result.weight, weight, atol=1e-2)
