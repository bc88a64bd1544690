"""Groups that go as a whole: places by hand, and the same channels as torch-pruning finds in the graph."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from transformers import AutoModelForCausalLM

from apt_core import families
from apt_core.base.errors import BadInput
from apt_core.families import check_has_groups, structures_of
from apt_core.families.coupled import Member, Span
from tests.families import tiny_families

WITH_HEADS = ("llama", "qwen2", "qwen3", "mistral", "phi3", "gemma2", "gemma3_text", "granite", "smollm3")


def structures(model):
    block = families.decoder_blocks(model)[0]
    shapes = {layer.name: layer.shape for layer in families.prunable_layers(block, 0)}
    return structures_of(families.family_of(block), shapes, model.config.to_dict()), shapes


def test_a_group_of_heads_is_a_key_value_head_with_its_queries():
    shapes = {
        **{"self_attn.q_proj": (12, 8), "self_attn.k_proj": (6, 8), "self_attn.v_proj": (6, 8)},
        **{
            "self_attn.o_proj": (8, 12),
            "mlp.gate_proj": (5, 8),
            "mlp.up_proj": (5, 8),
            "mlp.down_proj": (8, 5),
        },
    }
    config = {"num_attention_heads": 4, "num_key_value_heads": 2}
    heads, channels = structures_of(families.FAMILIES["llama"], shapes, config)
    assert (heads.groups, heads.heads_each, heads.head_width) == (2, 2, 3)
    places = {member.layer: member.places([1]) for member in heads.members}
    assert places["self_attn.q_proj"] == places["self_attn.o_proj"] == (6, 7, 8, 9, 10, 11)
    assert places["self_attn.k_proj"] == places["self_attn.v_proj"] == (3, 4, 5)
    assert heads.weights_each(shapes) == 6 * 8 + 2 * 3 * 8 + 8 * 6
    assert (channels.groups, channels.weights_each(shapes)) == (5, 3 * 8)


def test_projections_in_one_matrix_lose_rows_in_each():
    member = Member("qkv", "rows", (Span(0, 4), Span(8, 2), Span(12, 2)))
    assert member.places([1]) == (4, 5, 6, 7, 10, 11, 14, 15)


@pytest.mark.parametrize("family", ["mamba", "mixtral", "zamba2", "nemotron_h"])
def test_families_that_have_none(family):
    assert structures(tiny_families.model(family))[0] == ()


def test_layers_without_channels_are_refused_by_name():
    check_has_groups(["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"], "X")
    with pytest.raises(BadInput, match="X has no attention heads"):
        check_has_groups(["mixer.in_proj", "mixer.out_proj"], "X")


@pytest.mark.parametrize("family", ["llama", "qwen2", "mistral"])
def test_torch_pruning_finds_the_same_groups(family):
    """Follow one channel of gate_proj through the graph of the whole model."""
    pruning = pytest.importorskip("torch_pruning")
    model = tiny_families.model(family)
    found, _ = structures(model)
    channels = next(one for one in found if one.unit == "channels")
    ours = {(member.layer, member.along): member.places([3]) for member in channels.members}
    assert followed(model, pruning, "mlp.gate_proj", [3]) == ours


def test_torch_pruning_finds_the_same_heads():
    """All query rows of a head through the graph; it cannot follow heads that share keys and values."""
    pruning = pytest.importorskip("torch_pruning")
    model = tiny_families.model("llama")
    assert model.config.num_attention_heads == model.config.num_key_value_heads
    found, _ = structures(model)
    heads = next(one for one in found if one.unit == "heads")
    ours = {(member.layer, member.along): member.places([1]) for member in heads.members}
    rows = list(ours["self_attn.q_proj", "rows"])
    assert followed(model, pruning, "self_attn.q_proj", rows) == ours


def followed(model, pruning, layer, rows):
    """(layer of the first block, rows or columns) -> what torch-pruning takes with these rows of one layer."""
    model.config.use_cache = False
    graph = pruning.DependencyGraph().build_dependency(
        model,
        example_inputs={"input_ids": torch.ones(1, 4, dtype=torch.long)},
        output_transform=lambda out: out.logits,
    )
    first = families.prunable_layers(families.decoder_blocks(model)[0], 0)
    layers = {one.name: one.module for one in first}
    group = graph.get_pruning_group(layers[layer], pruning.prune_linear_out_channels, idxs=rows)
    return {
        (name, "rows" if "out_channels" in item.dep.handler.__name__ else "columns"): tuple(
            sorted(set(item.idxs))
        )
        for item in group
        for name, module in layers.items()
        if item.dep.target.module is module
    }


@pytest.mark.parametrize("family", WITH_HEADS)
def test_the_attention_itself_couples_the_same_heads(family):
    """By derivatives, with keys and values that heads share: what a group's columns of the output projection read
    depends on its rows of the others, and on no other rows."""
    model = with_shared_heads(family)
    found, _ = structures(model)
    heads = next(one for one in found if one.unit == "heads")
    assert (heads.groups, heads.heads_each) == (2, 2)
    seen = watched(model, [member.layer for member in heads.members])
    model(torch.arange(1, 7).reshape(1, 6), use_cache=False)
    (reads,) = (member for member in heads.members if member.along == "columns")
    for group in range(heads.groups):
        read = seen[reads.layer]["read"][..., list(reads.places([group]))]
        rows = [member for member in heads.members if member.along == "rows"]
        written = [seen[member.layer]["written"] for member in rows]
        for member, slope in zip(
            rows, torch.autograd.grad(read.pow(2).sum(), written, retain_graph=True), strict=True
        ):
            moved = slope.abs().flatten(0, -2).sum(0).nonzero().flatten().tolist()
            assert tuple(moved) == member.places([group]), member.layer


def with_shared_heads(family):
    """A tiny model of four query heads, two for each head of keys and values."""
    config = tiny_families.config(family)
    config.num_attention_heads, config.num_key_value_heads, config.head_dim = 4, 2, 8
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def watched(model, names):
    """What these layers of the first block read and write in the next forward."""
    seen = {}
    layers = {one.name: one.module for one in families.prunable_layers(families.decoder_blocks(model)[0], 0)}
    for name in names:
        layers[name].register_forward_hook(partial(_keep, seen, name))
    return seen


def _keep(seen, name, module, inputs, output):
    seen[name] = {"read": inputs[0], "written": output}
