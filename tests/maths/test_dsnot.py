"""DSnoT against a plain row-by-row statement of the published procedure."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import apt_core
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.maths.dsnot import InputMoments, grown_and_pruned
from apt_core.maths.hessian import LayerStats
from apt_core.maths.pattern import choose_by_row, lowest_per_group
from apt_core.methods import make_method

HALF, TWO_FOUR = Unstructured(sparsity=0.5), SemiStructured(keep=2, of=4)


def layer(seed, rows=12, width=32):
    """(weight, inputs [windows, tokens, in]) whose inputs have means, as behind a norm with outliers."""
    torch.manual_seed(seed)
    inputs = torch.randn(4, 50, width) * torch.rand(width) + 0.3 * torch.randn(width)
    return torch.randn(rows, width), inputs


def moments(inputs):
    flat = inputs.reshape(-1, inputs.shape[-1])
    return InputMoments.of(flat.sum(0), flat.square().sum(0), len(flat), len(inputs))


def masked(weight, inputs, pattern):
    score = weight.abs() * inputs.reshape(-1, inputs.shape[-1]).norm(dim=0)
    if isinstance(pattern, SemiStructured):
        return lowest_per_group(score, pattern.keep, pattern.of)
    return choose_by_row(score, pattern)


def by_hand(weight, pruned, inputs, of, cycles, tolerance):
    """One row after the other, one trade at a time, in float64 numpy."""
    flat = inputs.reshape(-1, inputs.shape[-1]).double().numpy()
    sums, variance = flat.sum(0) / len(inputs), flat.var(0)
    result = pruned.numpy().copy()
    for row, w in enumerate(weight.double().numpy()):
        gain, saliency = w * sums, np.abs(w) * np.linalg.norm(flat, axis=0)
        used, error = set(), gain[result[row]].sum()
        sign = np.sign(error)
        for _ in range(cycles):
            if abs(error) <= tolerance:
                break
            grow = [j for j in np.flatnonzero(result[row]) if j not in used]
            if not grow:
                break
            pick = max if error > 0 else min
            back = pick(grow, key=lambda j: gain[j] / variance[j])
            keep = [j for j in np.flatnonzero(~result[row]) if j not in used]
            if of:
                keep = [j for j in keep if j // of == back // of]
            else:
                keep = [j for j in keep if (gain[j] < 0 if error > 0 else gain[j] > 0)]
            if not keep:
                break
            gone = min(keep, key=lambda j: saliency[j])
            after = error - gain[back] + gain[gone]
            if of and np.sign(after) != sign:
                break
            result[row, back], result[row, gone], error = False, True, after
            used |= {back, gone}
    return torch.from_numpy(result)


@pytest.mark.parametrize(
    "pattern", [HALF, TWO_FOUR, SemiStructured(keep=4, of=8), Unstructured(sparsity=0.75)]
)
@pytest.mark.parametrize("seed", range(5))
def test_every_trade_is_the_published_one(seed, pattern):
    weight, inputs = layer(seed)
    start = masked(weight, inputs, pattern)
    of = pattern.of if isinstance(pattern, SemiStructured) else 0
    for cycles in (1, 3, 50):
        found = grown_and_pruned(weight, start, moments(inputs), pattern, cycles, 0.1)
        assert torch.equal(found, by_hand(weight, start, inputs, of, cycles, 0.1))
    assert not torch.equal(found, start)
    assert torch.equal(found.sum(1), start.sum(1))
    if of:
        groups = (len(weight), -1, of)
        assert torch.equal(found.reshape(groups).sum(2), start.reshape(groups).sum(2))


@pytest.mark.parametrize("seed", range(5))
def test_the_expected_error_shrinks(seed):
    weight, inputs = layer(seed, rows=64, width=128)
    start, of = masked(weight, inputs, HALF), moments(inputs)
    after = grown_and_pruned(weight, start, of, HALF, 50, 0.1)
    before, now = (((weight * of.sums) * mask).sum(1).abs().mean() for mask in (start, after))
    assert now < 0.5 * before


def test_nothing_to_trade_leaves_the_mask():
    weight, inputs = torch.tensor([[3.0, 1.0, 2.0]]), torch.ones(1, 2, 3)
    start = torch.tensor([[True, True, False]])
    assert torch.equal(grown_and_pruned(weight, start, moments(inputs), HALF, 50, 0.1), start)


def test_statistics_know_the_sums_of_their_inputs():
    _, inputs = layer(0)
    stats = LayerStats.empty(32)
    stats.add_(inputs[:1])
    stats.add_(inputs[1:])
    assert torch.allclose(stats.sums, inputs.sum((0, 1)), atol=1e-3) and stats.sequences == 4
    dead = inputs.clone()
    dead[..., :8] = 0
    stats = LayerStats.empty(32)
    stats.add_(dead)
    assert torch.allclose(stats.of_live_inputs().sums, dead.sum((0, 1))[8:], atol=1e-3)


@pytest.mark.parametrize("pattern", [HALF, TWO_FOUR])
def test_what_returns_begins_at_its_own_weight_and_the_reconstruction_makes_up(pattern):
    weight, inputs = layer(1, rows=16)
    stats = LayerStats.empty(32)
    stats.add_(inputs)
    plain = make_method("wanda", {"refinement": "dsnot"}).prune(weight, stats, pattern)
    assert torch.equal(plain.weight, weight.masked_fill(plain.pruned, 0))
    exact = make_method("wanda", {"refinement": "dsnot", "reconstruction": "exact"}).prune(
        weight, stats, pattern
    )
    assert torch.equal(exact.pruned, plain.pruned)

    def error(result):
        return float(((result.weight - weight) @ inputs.reshape(-1, 32).T).square().sum())

    assert error(exact) < error(plain)


def test_only_attention_is_refined_unless_everything_is_asked_for():
    weight, inputs = layer(2)
    stats = LayerStats.empty(32)
    stats.add_(inputs)
    wanda, dsnot = make_method("wanda"), make_method("wanda", {"refinement": "dsnot"})
    everywhere = make_method("wanda", {"refinement": {"name": "dsnot", "where": "everywhere"}})
    mask = wanda.prune(weight, stats, HALF).pruned
    assert torch.equal(dsnot.prune(weight, stats, HALF, in_attention=False).pruned, mask)
    refined = everywhere.prune(weight, stats, HALF, in_attention=False).pruned
    assert torch.equal(refined, dsnot.prune(weight, stats, HALF).pruned) and not torch.equal(refined, mask)


@pytest.mark.parametrize("model", ["tiny-random-llama", "tiny-mamba"])
def test_a_run_refines_attention_or_everything_where_there_is_none(model):
    text = {
        "calibration": {"text": "wiki-sample", "samples": 4, "length": 64},
        "evaluation": {"text": "wiki-sample", "samples": 2, "length": 64},
    }
    errors = {}
    for name, options in (("plain", {}), ("dsnot", {"refinement": "dsnot"})):
        job = apt_core.plan(model, "wanda", "0.6", options, **text)
        events = [event for event in apt_core.run(job) if event.kind == "layer_pruned" and event.block == 0]
        errors[name] = {event.layer: event.relative_error for event in events}
    changed = {layer for layer, error in errors["plain"].items() if errors["dsnot"][layer] != error}
    first = next(iter(errors["plain"]))  # later layers of a block see what the first has become
    assert first in changed
    if model == "tiny-random-llama":
        assert sum("attn" in layer for layer in changed) >= 3
