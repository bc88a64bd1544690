"""The two walks through the blocks that are pruned: the same layers, inputs as each promises, and what they hold."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import apt_core
from apt_core import families
from apt_core.base.clock import Clock
from apt_core.base.paths import ASSETS
from apt_core.base.policy import PRIVATE
from apt_core.execute import prune
from apt_core.execute.context import Context
from apt_core.models.load.weight_store import MemoryStore
from apt_core.passes.entering import Entering
from apt_core.passes.halting import Halting
from apt_core.passes.runner import Runner
from apt_core.passes.two_pass import TwoPass

sys.path.insert(0, str(Path(__file__).parents[1] / "families"))
import tiny_families

WALKS = (Halting, TwoPass)


def walked(model, windows, walk, batch=2, **more):
    """(the walk, its steps through all blocks)"""
    store = MemoryStore(model)
    entering = Entering.of(model, store.blocks, windows, batch)
    walking = walk(entering.states, batch, families.all_layers(store.blocks), Clock(), **more)
    return walking, Runner(store, entering).run(walking)


def tiny(family):
    return tiny_families.model(family).eval().requires_grad_(False)


def tokens(windows=5, length=40):
    return torch.randint(0, 256, (windows, length), generator=torch.Generator().manual_seed(0))


def arrivals(steps):
    return (arrival for arrival in steps if arrival is not None)


def relative(one, other):
    return float(torch.linalg.norm(one - other) / torch.linalg.norm(other))


@pytest.mark.parametrize("family", ["llama", "gpt2", "mamba", "mixtral", "zamba2", "nemotron_h"])
def test_with_nothing_pruned_both_count_the_same(family):
    found = {}
    for walk in WALKS:
        walking, steps = walked(tiny(family), tokens(), walk, compare=True)
        found[walk] = [(a.layer.block, a.layer.name, a.stats.gram, a.stats.tokens) for a in arrivals(steps)]
        assert torch.allclose(walking.states, walking.dense, atol=1e-5)
    for one, other in zip(found[Halting], found[TwoPass], strict=True):
        assert one[:2] == other[:2] and one[3] == other[3]
        assert relative(one[2], other[2]) < 1e-4, one[:2]


def test_layers_that_read_the_same_tensor_share_their_statistics():
    _, steps = walked(tiny("llama"), tokens(), TwoPass)
    stats = {(a.layer.block, a.layer.name): a.stats for a in arrivals(steps)}
    assert stats[0, "self_attn.q_proj"] is stats[0, "self_attn.v_proj"]
    assert stats[0, "mlp.gate_proj"] is stats[0, "mlp.up_proj"]
    assert stats[0, "self_attn.q_proj"] is not stats[0, "self_attn.o_proj"]
    assert stats[0, "self_attn.q_proj"].tokens == 200


def prune_half(steps):
    """Zero every other column of each layer as it comes; the Gram matrices that it came with."""
    grams = {}
    for arrival in arrivals(steps):
        grams[arrival.layer.block, arrival.layer.name] = arrival.stats.gram.clone()
        arrival.layer.matrix[:, ::2] = 0
    return grams


def inputs_of(model, block, name, windows):
    """The Gram matrix of what reaches a layer in an ordinary forward pass of the model."""
    seen = []
    module = families.decoder_blocks(model)[block].get_submodule(name)
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(0, -2)))
    with torch.no_grad():
        model(input_ids=windows, use_cache=False)
    hook.remove()
    return seen[0].T @ seen[0]


@pytest.mark.parametrize("family", ["llama", "gpt2", "mamba", "nemotron_h"])
def test_two_pass_counts_the_dense_block_fed_by_pruned_ones(family):
    """From outside: blocks in front of it pruned, the block itself as it was, in the models' own forward passes."""
    windows = tokens()
    pruned = tiny(family)
    walking, steps = walked(pruned, windows, TwoPass)
    grams = prune_half(steps)
    partly, blocks = tiny(family), len(families.decoder_blocks(pruned))
    for block in range(blocks):
        for layer in families.prunable_layers(families.decoder_blocks(partly)[block], block):
            if not layer.routed:  # an expert has no module of its own
                expected = inputs_of(partly, block, layer.name, windows)
                assert relative(grams[block, layer.name], expected) < 1e-4, (block, layer.name)
        for layer in families.prunable_layers(families.decoder_blocks(partly)[block], block):
            layer.matrix[:, ::2] = 0
    leaving = []
    hook = families.decoder_blocks(partly)[-1].register_forward_hook(
        lambda _, __, output: leaving.append(output)
    )
    partly(input_ids=windows, use_cache=False)
    hook.remove()
    expected = leaving[0][0] if isinstance(leaving[0], tuple) else leaving[0]
    assert torch.allclose(walking.states, expected, atol=1e-5)


def test_halting_counts_what_the_pruned_layers_before_it_give():
    """Where two-pass differs: o_proj comes after a v_proj that is pruned already."""
    found = {walk: prune_half(walked(tiny("llama"), tokens(), walk)[1]) for walk in WALKS}
    first, inner = (0, "self_attn.q_proj"), (0, "self_attn.o_proj")
    assert relative(found[Halting][first], found[TwoPass][first]) < 1e-5
    assert relative(found[Halting][inner], found[TwoPass][inner]) > 0.1


def test_the_dense_stream_of_two_pass_stays_dense():
    windows = tokens()
    dense = inputs_of(tiny("llama"), 1, "self_attn.q_proj", windows)
    model = tiny("llama")
    walking, steps = walked(model, windows, TwoPass, compare=True)
    drifts = {}
    for arrival in arrivals(steps):
        drifts[arrival.layer.block, arrival.layer.name] = arrival.stats
        arrival.layer.matrix[:, ::2] = 0
    assert all(stats.drift.abs().max() < 1e-4 for (block, _), stats in drifts.items() if block == 0)
    seen = drifts[1, "self_attn.q_proj"]
    pruned = inputs_of(model, 1, "self_attn.q_proj", windows)
    assert relative(seen.gram, pruned) < 1e-4 < relative(dense, pruned)
    assert seen.drift.abs().max() > 1e-3
    expected = []
    whole = tiny("llama")
    hook = families.decoder_blocks(whole)[-1].register_forward_hook(
        lambda _, __, output: expected.append(output)
    )
    whole(input_ids=windows, use_cache=False)
    hook.remove()
    assert torch.allclose(walking.dense, expected[0], atol=1e-5)


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_that_is_left_early_leaves_the_model_as_it_was(walk):
    for family in ("llama", "mixtral", "mamba"):
        model = tiny(family)
        expected = model(input_ids=tokens(1), use_cache=False).logits
        _, steps = walked(model, tokens(), walk, compare=True)
        next(steps)
        steps.close()
        assert not any(module._forward_pre_hooks for module in model.modules())
        assert torch.equal(model(input_ids=tokens(1), use_cache=False).logits, expected)


def held_bytes() -> int:
    """Of all tensors that anybody still refers to."""
    gc.collect()  # what earlier tests left in cycles would go at any later moment, and be missing in a difference
    found = (each for each in gc.get_objects() if isinstance(each, torch.Tensor))
    return sum(
        {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in found}.values()
    )


def test_two_pass_holds_a_batch_where_halting_holds_all():
    """In front of the widest layer: activations of 64 windows in halted passes, only Gram matrices otherwise."""
    windows, most = tokens(64, 64), {}
    states = 64 * 64 * 32 * 4
    for walk in WALKS:
        _, steps = walked(tiny("llama"), windows, walk)
        before = held_bytes()  # with the states, before anything is counted
        held = [held_bytes() for arrival in arrivals(steps) if arrival.layer.name == "mlp.down_proj"]
        most[walk] = max(held) - before
    assert most[TwoPass] < 0.25 * states
    assert most[Halting] > 2 * states


# ---- whole runs


def run(model, method, walk, folder, **more):
    texts = {
        "calibration": {"text": "wiki-sample", "samples": 16, "length": 64},
        "evaluation": {"text": "wiki-sample", "samples": 6, "length": 64},
    }
    recipe = apt_core.plan(str(model), method, "2:4", dtype="float32", walk=walk, **texts | more)
    return list(apt_core.run(recipe, folder))


def pruned_perplexity(events):
    return [event.perplexity for event in events if event.kind == "evaluated"][-1]


@pytest.mark.parametrize("weights", ["memory", pytest.param("disk", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("model", "method"),
    [
        ("tiny-llama", "apt"),
        ("tiny-mamba", "apt-joint"),
        pytest.param("tiny-llama", "apt-joint", marks=pytest.mark.slow),
        pytest.param("tiny-mamba", "apt", marks=pytest.mark.slow),
    ],
)
def test_both_walks_prune_to_about_the_same_perplexity(model, method, weights, tmp_path):
    folder = ASSETS / "models" / model
    found = [run(folder, method, walk, tmp_path / walk, weights=weights) for walk in ("halting", "two-pass")]
    halted, twice = map(pruned_perplexity, found)
    assert twice == pytest.approx(halted, rel=0.04) and twice != halted
    assert not any("walked twice" in event.message for event in found[0] if event.kind == "warned")
    assert any("walked twice" in event.message for event in found[1] if event.kind == "warned")


@pytest.mark.parametrize("family", ["llama", "mamba", "mixtral", "zamba2", "nemotron_h"])
def test_every_kind_of_family_is_pruned_in_two_passes(family, tmp_path):
    model = tiny_families.write(family, tmp_path / family)
    events = run(model, "apt-joint", "two-pass", tmp_path / "run", optional_layers=True)
    layers = [event for event in events if event.kind == "layer_pruned"]
    assert all(event.pattern_valid and event.sparsity == 0.5 for event in layers)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "checkpoint", dtype=torch.float32)
    wanted = families.all_layers(families.decoder_blocks(again), optional=True)
    assert [(e.block, e.layer) for e in layers] == [(layer.block, layer.name) for layer in wanted]
    shared = [event for event in layers if "shared_transformer" in event.layer]
    assert all(event.tokens == 2 * 16 * 64 for event in shared) and bool(shared) == (family == "zamba2")
    assert {"forward", "statistics", "gradients"} <= set(events[-1].seconds)


@pytest.mark.parametrize(("asked", "chosen", "expected"), [
    ("auto", "two-pass", True), ("auto", "halting", False),
    ("halting", "two-pass", False), ("two-pass", "halting", True),
])  # fmt: skip
def test_the_walk_is_the_recipes_or_chosen_where_it_leaves_that_open(asked, chosen, expected, tmp_path):
    text = {"text": "wiki-sample", "samples": 2, "length": 64}
    recipe = apt_core.plan("tiny-random-llama", "wanda", "2:4", walk=asked, calibration=text, evaluation=text)
    seen = []

    def choose(recipe, folder):
        seen.append((recipe, folder / "config.json"))
        return chosen

    events = list(prune.run(recipe, Context.of(recipe, tmp_path, PRIVATE, walk=choose)))
    assert any(event.kind == "warned" and "walked twice" in event.message for event in events) == expected
    assert len(seen) == (asked == "auto") and all(config.is_file() for _, config in seen)
