"""Sizes are those of the files that are really written."""

from __future__ import annotations

import shutil

import pytest
import torch
import zstandard
from safetensors.torch import load_file, save_file

import apt_core
from apt_core.base.paths import ASSETS
from apt_core.measure import size
from apt_core.models.checkpoint.packed import pack_folder, packed_bytes
from apt_core.models.load.loading import load

TINY = ASSETS / "models" / "tiny-llama"


@pytest.fixture(autouse=True)
def own_cache(fresh_cache):
    return fresh_cache


@pytest.fixture
def half(tmp_path):
    folder = shutil.copytree(TINY, tmp_path / "half")
    tensors = load_file(folder / "model.safetensors")
    for name, weight in tensors.items():
        if "proj" in name:
            weight[torch.rand(weight.shape, generator=torch.Generator().manual_seed(len(name))) < 0.5] = 0
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_every_size_is_that_of_what_would_be_written(half, tmp_path):
    found = size.folder_sizes(half)
    content = (half / "model.safetensors").read_bytes()
    assert found.on_disk == len(content)
    assert found.compressed == len(zstandard.ZstdCompressor(level=size.ZSTD_LEVEL).compress(content))
    packed = pack_folder(half, tmp_path / "packed").folder
    assert found.packed == packed_bytes(packed)
    model, _ = load(half, torch.bfloat16, "cpu")
    assert found.resident == sum(weight.numel() * weight.element_size() for weight in model.parameters())
    assert size.resident_bytes(half, "F32") == 4 * model.num_parameters()
    assert found.packed < 0.75 * found.on_disk


def test_a_packed_folder_is_as_large_as_it_is(half, tmp_path):
    packed = pack_folder(half, tmp_path / "packed").folder
    found, plain = size.folder_sizes(packed), size.folder_sizes(half)
    assert found.on_disk == found.packed == plain.packed and found.resident == plain.resident


def test_sizes_of_the_same_files_are_found_once(half, monkeypatch):
    first = size.known_sizes(half)
    monkeypatch.setattr(size, "folder_sizes", None)
    assert size.known_sizes(half) == first
    (half / "model.safetensors").touch()
    with pytest.raises(TypeError):
        size.known_sizes(half)


def test_a_run_says_both_sizes(tmp_path):
    record = apt_core.prune(
        "tiny-llama", "magnitude", "0.5", out=tmp_path / "checkpoint", device="cpu",
        calibration={"text": "wiki-sample", "samples": 1, "length": 32},
        evaluation={"text": "wiki-sample", "samples": 1, "length": 32},
    )  # fmt: skip
    dense, pruned = record.size_of("dense"), record.size_of("pruned")
    assert dense.packed > 0.99 * dense.on_disk and pruned.packed < 0.75 * pruned.on_disk
    assert pruned.packed == packed_bytes(pack_folder(tmp_path / "checkpoint", tmp_path / "p").folder)
    assert pruned.resident == dense.resident and pruned.zstd_level == size.ZSTD_LEVEL
