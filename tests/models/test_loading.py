"""Folder -> model and tokenizer: ready to be pruned, or one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from apt_core.base.errors import NotAModel
from apt_core.models.load.loading import load

torch.set_num_threads(1)


def refused(folder, words: str) -> None:
    with pytest.raises(NotAModel, match=words) as error:
        load(folder, torch.float32, "cpu")
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_comes_ready_for_pruning(tiny, dtype):
    model, tokenizer = load(tiny, dtype, "cpu")
    assert all(weight.dtype == dtype and not weight.requires_grad for weight in model.parameters())
    assert not model.training and model.config._attn_implementation == "sdpa"
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    logits = model(**tokenizer("two words", return_tensors="pt")).logits
    assert logits.shape == (1, 9, 258) and torch.isfinite(logits).all()


def test_a_model_in_parts_is_the_same_model(shards):
    model, _ = load(shards, torch.float32, "cpu")
    assert model.num_parameters() == 108_992


def test_missing_weights_are_refused_and_not_made_up(tiny):
    tensors = load_file(tiny / "model.safetensors")
    del tensors["model.layers.1.mlp.down_proj.weight"]
    save_file(tensors, tiny / "model.safetensors", {"format": "pt"})
    refused(tiny, "mlp.down_proj.weight are missing")


def test_a_configuration_of_another_shape_is_refused_before_anything_is_built(edit_config):
    refused(edit_config(intermediate_size=192), "intermediate_size is 192, but .* has 176 columns")


def test_weights_of_another_shape_are_refused(tiny):
    """Of a tensor that the headers' check knows nothing of."""
    tensors = load_file(tiny / "model.safetensors")
    tensors["model.norm.weight"] = torch.ones(32)
    save_file(tensors, tiny / "model.safetensors", {"format": "pt"})
    refused(tiny, "do not fit its config.json")


def test_an_unknown_architecture_is_named(edit_config):
    refused(edit_config(model_type="brandnew", architectures=["BrandNewForCausalLM"]), "BrandNewForCausalLM")


def test_code_of_its_own_is_never_run(edit_config):
    folder = edit_config(
        model_type="brandnew",
        architectures=["BrandNewForCausalLM"],
        auto_map={"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"},
    )
    witness = folder / "was_run"
    (folder / "code.py").write_text(f"open({str(witness)!r}, 'w')")
    refused(folder, "never run here")
    assert not witness.exists()


def test_damaged_weights_and_tokenizers_are_sentences(tiny, tmp_path):
    whole = shutil.copytree(tiny, tmp_path / "whole")
    (tiny / "model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes()[:-1])
    refused(tiny, "cut short")
    (whole / "tokenizer.json").write_text("{}")
    refused(whole, "tokenizer")


def test_a_known_architecture_that_writes_no_text_is_named(edit_config):
    refused(edit_config(model_type="vit", architectures=None), "cannot load the architecture vit")


def test_what_transformers_cannot_read_is_quoted(shards):
    import json

    index = shards / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": json.loads(index.read_text())["weight_map"]}))
    refused(shards, "cannot be loaded .*metadata")


def test_no_kernels_come_from_the_hub(tiny):
    """With a device map transformers would enable them, and fetch some for this very family."""
    code = (
        "import socket, sys; sys.modules['kernels'] = None\n"
        "def refuse(*_, **__): raise SystemExit('asked the network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import torch, apt_core\n"
        "from apt_core.models.load.loading import load_spread\n"
        "model, _ = load_spread(sys.argv[1], torch.float32, {'': 'cpu'})\n"
        "assert not model.use_kernels\n"
    )
    environment = os.environ | {"USE_HUB_KERNELS": "YES"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
