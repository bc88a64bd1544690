"""Which projections of a block read the same tensor is the families' to say."""

from __future__ import annotations

import pytest

from apt_core.families.known import FAMILIES, UNLISTED


@pytest.mark.parametrize(
    ("model_type", "together"),
    [
        (
            "llama",
            [("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), ("mlp.gate_proj", "mlp.up_proj")],
        ),
        ("opt", [("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), ("fc1",), ("fc2",)]),
        ("gpt2", [("attn.c_attn",), ("attn.c_proj",), ("mlp.c_fc",), ("mlp.c_proj",)]),
        ("mixtral", [("mlp.experts.3.w1", "mlp.experts.3.w3"), ("mlp.experts.3.w2",), ("mlp.experts.4.w1",)]),
        ("nemotron_h", [("mixer.q_proj", "mixer.v_proj"), ("mixer.up_proj",), ("mixer.down_proj",)]),
    ],
)
def test_projections_that_read_the_same_tensor(model_type, together):
    family = FAMILIES[model_type]
    inputs = [{family.input_of(name) for name in names} for names in together]
    assert all(len(found) == 1 for found in inputs)
    assert len(set.union(*inputs)) == len(together)


@pytest.mark.parametrize(
    ("model_type", "inside", "outside"),
    [
        ("llama", "self_attn.o_proj", "mlp.up_proj"),
        ("falcon", "self_attention.dense", "mlp.dense_h_to_4h"),
        ("gpt_neox", "attention.query_key_value", "mlp.dense_4h_to_h"),
        ("nemotron_h", "mixer.k_proj", "mixer.in_proj"),
        ("zamba2", "shared_transformer.self_attn.q_proj", "linear"),
    ],
)
def test_projections_of_an_attention(model_type, inside, outside):
    family = FAMILIES[model_type]
    assert family.in_attention(inside) and not family.in_attention(outside)


def test_every_projection_of_every_family_has_an_input():
    for family in {id(family): family for family in FAMILIES.values()}.values():
        for name in family.projections:
            assert family.input_of(family.input_of(name)) == family.input_of(name)
    assert UNLISTED.input_of("mlp.up_proj") == "mlp.gate_proj"
