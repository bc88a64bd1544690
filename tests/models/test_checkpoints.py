"""A folder is judged by its headers before a weight is read."""

from __future__ import annotations

import json
import os
import struct

import pytest

from apt_core.base.errors import NotAModel
from apt_core.models.checkpoint import headers as checkpoints
from apt_core.models.fetch import manifest


def refused(folder, words: str) -> None:
    with pytest.raises(NotAModel, match=words) as error:
        checkpoints.check(folder)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_whole_models_pass(tiny):
    checkpoints.check(tiny)
    assert checkpoints.bytes_on_disk(tiny) == (tiny / "model.safetensors").stat().st_size


def test_a_model_in_parts_passes_and_is_read_whole(shards):
    checkpoints.check(shards)
    tensors = checkpoints.read_tensors(shards)
    assert sum(facts.numel for facts in tensors.values()) == 108_992


def test_a_missing_part_is_named(shards):
    (shards / "model-00002-of-00002.safetensors").unlink()
    refused(shards, "model-00002-of-00002.safetensors is missing")


def test_an_index_that_points_outside_is_not_trusted(shards):
    (shards / checkpoints.INDEX).write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}))
    refused(shards, "outside the folder")


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": []}', "no json"])
def test_a_broken_index_is_refused(shards, index):
    (shards / checkpoints.INDEX).write_text(index)
    refused(shards, "index.json")


@pytest.mark.parametrize("left", [0, 7, 8, 100, 10_000, -1])
def test_weights_cut_anywhere_are_refused(tiny, left):
    weights = tiny / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:left])
    refused(tiny, "cut short")


def test_weights_with_something_appended_are_refused(tiny):
    with (tiny / "model.safetensors").open("ab") as file:
        file.write(b"more")
    refused(tiny, "cut short")


@pytest.mark.parametrize(
    "header", [b"[1, 2]", b"{broken", b'{"a": {"dtype": "F32"}}', b'{"a": 7}', b"\xff\xfe"]
)
def test_broken_headers_are_refused(tiny, header):
    (tiny / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    refused(tiny, "model.safetensors")


def test_a_header_of_absurd_length_is_not_read(tiny):
    (tiny / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"x" * 100)
    refused(tiny, "cut short")


def test_an_empty_folder_a_file_and_a_folder_without_config(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no config.json")
    refused(tiny / "config.json", "is a file")
    (tiny / "config.json").unlink()
    refused(tiny, "no config.json")


@pytest.mark.parametrize("config", ["no json", "[]", ""])
def test_a_broken_configuration_is_refused(tiny, config):
    (tiny / "config.json").write_text(config)
    refused(tiny, "config.json")


@pytest.mark.parametrize("other", ["pytorch_model.bin", "consolidated.00.pth"])
def test_pickle_weights_alone_are_refused(tiny, other):
    (tiny / "model.safetensors").rename(tiny / other)
    refused(tiny, "only pickle weights")


def test_gguf_alone_or_no_weights_are_refused(tiny):
    (tiny / "model.safetensors").rename(tiny / "model.gguf")
    refused(tiny, "only GGUF")
    (tiny / "model.gguf").unlink()
    refused(tiny, "no model.safetensors")


def test_a_missing_tokenizer_is_said(tiny):
    (tiny / "tokenizer.json").unlink()
    refused(tiny, "no tokenizer")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, "already quantised"),
        ({"architectures": ["BertForMaskedLM"]}, "BertForMaskedLM"),
        ({"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}, "T5ForConditional"),
        ({"architectures": None, "is_encoder_decoder": True}, "encoder-decoder"),
    ],
)
def test_what_is_no_plain_causal_language_model_is_refused(edit_config, changes, words):
    refused(edit_config(**changes), words)


@pytest.mark.parametrize("architectures", [["GPT2LMHeadModel"], ["Qwen2ForCausalLM"], None, []])
def test_causal_architectures_and_unnamed_ones_pass(edit_config, architectures):
    checkpoints.check(edit_config(architectures=architectures))


def test_the_seal_notices_every_kind_of_damage(tiny):
    assert not manifest.is_whole(tiny)
    manifest.seal(tiny)
    assert manifest.is_whole(tiny)
    damages = {
        "config.json": lambda file: file.write_bytes(file.read_bytes().replace(b"176", b"177")),
        "model.safetensors": lambda file: os.truncate(file, 1000),
        "tokenizer.json": lambda file: file.unlink(),
        manifest.SEAL: lambda file: file.write_text("torn"),
    }
    for name, damage in damages.items():
        before = (tiny / name).read_bytes()
        damage(tiny / name)
        assert not manifest.is_whole(tiny), name
        (tiny / name).write_bytes(before)
        assert manifest.is_whole(tiny)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "GPTQ"),
        ({"quantization_config": {"quant_method": "awq"}}, "AWQ"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "bitsandbytes"),
        ({"quantization_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "MLX"),
        ({"quantization_config": {"bits": 4}}, "in an unknown format"),
    ],
)
def test_a_packed_checkpoint_is_refused_by_its_format(config, named):
    with pytest.raises(NotAModel, match=f"already quantised .{named}.* choose the original model"):
        checkpoints.check_config({"architectures": ["LlamaForCausalLM"]} | config, "ann/model")
