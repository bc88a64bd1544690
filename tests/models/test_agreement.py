"""A configuration that asks for another model than the weights hold is refused before anything is built."""

from __future__ import annotations

import json
import os
import struct

import pytest

from apt_core.base.errors import NotAModel
from apt_core.models.catalogue.entries import CATALOGUE
from apt_core.models.checkpoint import headers
from apt_core.models.checkpoint.agreement import check_agreement
from apt_core.models.checkpoint.tensor_facts import TensorFacts
from tests.families import tiny_families

WEIGHTS = "model.safetensors"


def changed(folder, **values):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))
    return folder


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"num_hidden_layers": 10**6}, "1,000,000 decoder blocks"),
        ({"num_hidden_layers": 1}, "1 decoder blocks, but the weights have"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_hidden_layers": 10**30}, "which no model has"),
        ({"num_hidden_layers": "many"}, "no whole number"),
        ({"num_hidden_layers": 2.0}, "no whole number"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"num_attention_heads": 7, "head_dim": None}, "7 attention heads do not divide"),
        ({"num_key_value_heads": 3}, "3 key-value heads do not divide"),
        ({"hidden_size": 4096, "head_dim": 8}, "hidden_size is 4,096"),
        ({"vocab_size": 10**8}, "vocab_size is 100,000,000"),
        ({"intermediate_size": 10**7}, "intermediate_size is 10,000,000"),
        ({"max_position_embeddings": -1}, "max_position_embeddings is -1"),
        ({"hidden_size": True}, "no whole number"),
        ({"num_attention_heads": 8}, "num_attention_heads is 8 and head_dim 16, but"),
        ({"num_key_value_heads": 1}, "num_key_value_heads is 1 and head_dim 16, but"),
        ({"head_dim": 8}, "head_dim 8, but"),
        ({"intermediate_size": 8}, "intermediate_size is 8, but"),
        ({"dtype": "complex999"}, "dtype is 'complex999', which is no type"),
        ({"dtype": None, "torch_dtype": 16}, "torch_dtype is '16', which is no type"),
    ],
)
def test_what_does_not_fit_is_refused(tiny, values, said):
    with pytest.raises(NotAModel, match=said):
        headers.check(changed(tiny, **values))


@pytest.mark.parametrize("stated", ["bfloat16", "torch.float32", "auto", "float8_e4m3fn", None])
def test_types_of_weights_as_models_state_them_are_taken(tiny, stated):
    headers.check(changed(tiny, dtype=stated, torch_dtype=stated))


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry.source == "bundled"])
def test_every_bundled_model_agrees(name):
    headers.check(CATALOGUE[name].folder)


@pytest.mark.parametrize("name", sorted(tiny_families.CONFIGS))
def test_every_family_agrees(name, tmp_path):
    folder = tiny_families.write(name, tmp_path)
    check_agreement(headers.read_config(folder), headers.read_tensors(folder), name)


WRONG = {
    "llama": [
        ({"num_attention_heads": 4, "num_key_value_heads": 4}, "is 4 and head_dim 16, but .* 32 "),
        (
            {"num_key_value_heads": 1, "head_dim": None},
            "num_key_value_heads is 1 and num_attention_heads 2, but",
        ),
        ({"intermediate_size": 32}, "intermediate_size is 32, but .* 48 "),
    ],
    "qwen3": [({"num_attention_heads": 4}, "num_attention_heads is 4"), ({"head_dim": 32}, "head_dim 32")],
    "gemma2": [
        ({"num_attention_heads": 1}, "num_attention_heads is 1"),
        ({"intermediate_size": 33}, "is 33"),
    ],
    "gemma3_text": [({"num_attention_heads": 4}, "num_attention_heads is 4")],
    "phi3": [
        ({"num_attention_heads": 4}, "columns"),
        ({"num_key_value_heads": 2}, "the number of heads of queries, keys and values is 6"),
        ({"intermediate_size": 47}, "intermediate_size is 47, but .* 48 "),
    ],
    "gpt2": [({"n_inner": 32}, "n_inner is 32, but .* 64 ")],
    "opt": [({"ffn_dim": 32}, "ffn_dim is 32, but .* 48 ")],
    "gpt_neox": [({"intermediate_size": 32}, "intermediate_size is 32")],
    "falcon": [({"ffn_hidden_size": 32}, "ffn_hidden_size is 32")],
    "olmo2": [({"intermediate_size": 32}, "is 32"), ({"num_attention_heads": 4}, "num_attention_heads is 4")],
    "mixtral": [({"num_attention_heads": 4}, "num_attention_heads is 4")],
    "jamba": [({"num_attention_heads": 4}, "num_attention_heads is 4")],
}


@pytest.mark.parametrize(
    ("family", "values", "said"), [(family, *one) for family, several in WRONG.items() for one in several]
)
def test_heads_and_channels_are_those_of_the_layers(family, values, said, tmp_path):
    """Stated heads and narrower channels passed, and the run failed when the weights were loaded."""
    folder = changed(tiny_families.write(family, tmp_path), **values)
    config = headers.read_config(folder)
    with pytest.raises(NotAModel, match=said):
        check_agreement(config, headers.read_tensors(folder), family)


def test_other_towers_have_heads_of_their_own(tmp_path):
    folder = tiny_families.write("llama", tmp_path)
    config, tensors = headers.read_config(folder), dict(headers.read_tensors(folder))
    tensors["vision_tower.layers.0.self_attn.q_proj.weight"] = TensorFacts("F32", (17, 32))
    check_agreement(config, tensors, "llama")


def test_what_is_known_of_no_family_is_not_refused(tmp_path):
    folder = tiny_families.write("llama", tmp_path)
    config = headers.read_config(folder) | {"model_type": "a-new-one", "num_attention_heads": 4}
    check_agreement(config, headers.read_tensors(folder), "new")


def with_header(folder, **tensors):
    """The weights replaced by a file with this header and as many bytes as it promises at most."""
    header = json.dumps(tensors).encode()
    ends = [end for facts in tensors.values() if isinstance(facts, dict) for end in facts["data_offsets"]]
    size = max((end for end in ends if 0 <= end < 10_000), default=64)
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    return folder


def facts(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": facts([1e400], 0, 64)},
        {"a": facts([4.0, 4], 0, 64)},
        {"a": facts([-4, -4], 0, 64)},
        {"a": facts([True, 16], 0, 64)},
        {"a": facts([4, 4], 0, 64), "b": facts([4, 4], 0, 64)},
        {"a": facts([4, 4], 0, 64), "b": facts([4, 4], 32, 96)},
        {"a": facts([4, 4], 0, 64), "b": facts([4, 4], 128, 192)},
        {"a": facts([4, 4], 64, 0)},
        {"a": facts([4, 4], 0, 32)},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0]}},
        {"a": {"dtype": "F32", "shape": "44", "data_offsets": [0, 64]}},
        {"a": [1, 2]},
    ],
)
def test_a_header_that_lies_is_refused(tiny, tensors):
    with pytest.raises(NotAModel, match="header"):
        headers.read_header(with_header(tiny, **tensors) / WEIGHTS)


def test_brackets_without_end_are_one_sentence(tiny):
    (tiny / "config.json").write_text('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(NotAModel, match="not readable JSON"):
        headers.check(tiny)


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling"])
def test_weights_that_are_no_file_are_refused(tiny, kind):
    (tiny / WEIGHTS).unlink()
    if kind == "folder":
        (tiny / WEIGHTS).mkdir()
    elif kind == "pipe":
        os.mkfifo(tiny / WEIGHTS)
    else:
        (tiny / WEIGHTS).symlink_to(tiny / "nowhere")
    with pytest.raises(NotAModel):
        headers.check(tiny)


def test_a_config_without_end_is_not_read(tiny):
    with (tiny / "config.json").open("r+b") as file:
        file.truncate(headers.LONGEST_CONFIG + 1)
    with pytest.raises(NotAModel, match="too long"):
        headers.check(tiny)


COMPANIONS = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")


@pytest.mark.parametrize("name", [*COMPANIONS, "tokenizer.json"])
def test_what_lies_beside_the_weights_is_an_ordinary_file(tiny, name):
    """A pipe was opened only when the pruned model was saved, and the run failed with a traceback."""
    (tiny / name).unlink(missing_ok=True)
    os.mkfifo(tiny / name)
    with pytest.raises(NotAModel, match=f"{name} of .* is no ordinary file"):
        headers.check(tiny)


@pytest.mark.parametrize("name", COMPANIONS)
@pytest.mark.parametrize("content", ["[" * 100_000, "{", "[1]", ""])
def test_what_lies_beside_the_weights_is_readable(tiny, name, content):
    (tiny / name).write_text(content)
    with pytest.raises(NotAModel, match=f"{name} of .* is not"):
        headers.check(tiny)


def test_what_lies_beside_the_weights_may_be_a_link_into_a_cache(tiny, tmp_path):
    for name in (*COMPANIONS, "tokenizer.json"):
        if (tiny / name).exists():
            (tiny / name).rename(tmp_path / name)
            (tiny / name).symlink_to(tmp_path / name)
    headers.check(tiny)
