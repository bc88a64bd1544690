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
    ],
)
def test_what_does_not_fit_is_refused(tiny, values, said):
    with pytest.raises(NotAModel, match=said):
        headers.check(changed(tiny, **values))


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry.source == "bundled"])
def test_every_bundled_model_agrees(name):
    headers.check(CATALOGUE[name].folder)


@pytest.mark.parametrize("name", sorted(tiny_families.CONFIGS))
def test_every_family_agrees(name, tmp_path):
    folder = tiny_families.write(name, tmp_path)
    check_agreement(headers.read_config(folder), headers.read_tensors(folder), name)


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
