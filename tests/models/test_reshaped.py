"""Checkpoints of other shapes: several files, packed ones, a disk that is full, the dense folder itself."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from apt_core.base.errors import BadInput
from apt_core.base.paths import ASSETS
from apt_core.families import FAMILIES
from apt_core.models.checkpoint import reshaped
from apt_core.models.checkpoint.headers import read_config
from apt_core.models.checkpoint.packed import pack_folder
from apt_core.models.checkpoint.reshaped import Cut, ModelEdit, write_reshaped

TINY = ASSETS / "models" / "tiny-llama"
LLAMA = FAMILIES["llama"]


def without_the_second(folder):
    config = read_config(folder) | {"num_hidden_layers": 3}
    return ModelEdit((0, 2, 3), {}, config)


def check_blocks(folder):
    found = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).model.layers
    dense = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32).model.layers
    for mine, number in zip(found, (0, 2, 3), strict=True):
        for name, tensor in mine.state_dict().items():
            assert torch.equal(tensor, dense[number].state_dict()[name])


def test_of_several_files(tmp_path):
    """The index names the new names, and only files that hold something."""
    model = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "dense", max_shard_size="200kB")
    write_reshaped(tmp_path / "dense", tmp_path / "small", without_the_second(tmp_path / "dense"), LLAMA)
    index = json.loads((tmp_path / "small" / "model.safetensors.index.json").read_text())
    held = {
        name: file.name for file in (tmp_path / "small").glob("*.safetensors") for name in load_file(file)
    }
    assert index["weight_map"] == held and len(set(held.values())) > 1
    assert not any(".layers.3." in name for name in held)
    check_blocks(tmp_path / "small")


def test_of_a_packed_folder(tmp_path):
    pack_folder(TINY, tmp_path / "packed")
    write_reshaped(tmp_path / "packed", tmp_path / "small", without_the_second(tmp_path / "packed"), LLAMA)
    check_blocks(tmp_path / "small")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed", "small"]


def test_rows_and_columns_are_cut(tmp_path):
    cuts = {
        (0, "mlp.gate_proj.weight"): Cut(0, (1, 5)),
        (0, "mlp.down_proj.weight"): Cut(1, (1, 5)),
    }
    write_reshaped(TINY, tmp_path / "small", ModelEdit((0, 1, 2, 3), cuts, read_config(TINY)), LLAMA)
    dense, small = load_file(TINY / "model.safetensors"), load_file(tmp_path / "small" / "model.safetensors")
    name = "model.layers.0.mlp.{}_proj.weight"
    assert torch.equal(small[name.format("gate")], dense[name.format("gate")][[1, 5]])
    assert torch.equal(small[name.format("down")], dense[name.format("down")][:, [1, 5]])
    assert torch.equal(small[name.format("up")], dense[name.format("up")])


def test_the_dense_model_is_never_replaced(tmp_path):
    shutil.copytree(TINY, tmp_path / "dense")
    with pytest.raises(BadInput, match="would replace the dense one"):
        write_reshaped(tmp_path / "dense", tmp_path / "dense", without_the_second(TINY), LLAMA)
    assert (tmp_path / "dense" / "model.safetensors").exists()


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reshaped.StreamedFile, "write", full)
    with pytest.raises(OSError, match="No space left"):
        write_reshaped(TINY, tmp_path / "small", without_the_second(TINY), LLAMA)
    assert not list(tmp_path.iterdir())
