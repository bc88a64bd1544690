"""The three stores of weights behind one protocol: whoever prunes does the same with each."""

from __future__ import annotations

import pytest
import torch
from accelerate import dispatch_model
from safetensors.torch import load_file

from apt_core.base.errors import BadInput
from apt_core.base.paths import ASSETS
from apt_core.models.load.disk_store import DiskStore
from apt_core.models.load.loading import load, load_by_block
from apt_core.models.load.spread_store import SpreadStore
from apt_core.models.load.weight_store import MemoryStore

TINY = ASSETS / "models" / "tiny-random-llama"
KINDS = ("memory", "spread", "disk")
CHANGED = "model.layers.1.mlp.up_proj.weight"


def store_of(kind, room_for_all=False):
    if kind == "disk":
        model, _, store = load_by_block(TINY, torch.float32, "cpu", room_for_all)
        return model, store
    model, _ = load(TINY, torch.float32, "cpu")
    if kind == "spread":
        model = dispatch_model(model, {"": "cpu"}, main_device="cpu", force_hooks=True)
    return model, (SpreadStore if kind == "spread" else MemoryStore)(model)


def zero_one_matrix(store):
    with store.rest_away(), store.block(1) as block:
        block.mlp.up_proj.weight.data.zero_()
        store.commit(1, {"mlp.up_proj.weight"})


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_committed_is_in_the_checkpoint_and_nothing_else(kind, tmp_path):
    _, store = store_of(kind)
    with store.writing(TINY, tmp_path / "checkpoint"):
        zero_one_matrix(store)
        assert not (tmp_path / "checkpoint").exists()
        finished = store.finish()
    assert finished == tmp_path / "checkpoint" and list(tmp_path.iterdir()) == [finished]
    before, after = load_file(TINY / "model.safetensors"), load_file(finished / "model.safetensors")
    assert before.keys() == after.keys() and not after.pop(CHANGED).any()
    assert all(torch.equal(weight, before[name]) for name, weight in after.items())


@pytest.mark.parametrize("kind", KINDS)
def test_the_finished_checkpoint_is_what_is_read_from_then_on(kind, tmp_path):
    _, store = store_of(kind)
    with store.writing(TINY, tmp_path / "checkpoint"):
        zero_one_matrix(store)
        store.then_read(store.finish())
    with store.block(1) as block:
        assert not block.mlp.up_proj.weight.any() and block.mlp.gate_proj.weight.any()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_finished_leaves_nothing(kind, tmp_path):
    _, store = store_of(kind)
    with pytest.raises(ZeroDivisionError), store.writing(TINY, tmp_path / "checkpoint"):
        zero_one_matrix(store)
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_the_dense_model_is_refused_as_a_target_before_anything_is_done(kind):
    _, store = store_of(kind)
    with pytest.raises(BadInput, match="replace the dense one"), store.writing(TINY, TINY):
        raise AssertionError("not reached")


@pytest.mark.parametrize(("kind", "room", "reason"), [
    ("memory", False, None), ("spread", False, None), ("disk", True, None),
    ("disk", False, "the blocks are read from disk one at a time"),
])  # fmt: skip
def test_the_whole_model_can_be_called_or_a_reason_is_given(kind, room, reason):
    model, store = store_of(kind, room)
    with store.all_loaded() as why_not:
        assert why_not == reason
        assert any(weight.is_meta for weight in model.parameters()) == (reason is not None)
    assert any(weight.is_meta for weight in model.parameters()) == isinstance(store, DiskStore)
    assert (store.notice is None) == (reason is None)


@pytest.mark.parametrize("kind", KINDS)
def test_scratch_is_gone_when_its_context_ends(kind, tmp_path):
    _, store = store_of(kind)
    with store.scratch(tmp_path / "run") as scratch:
        waiting = scratch("states")
        waiting[3] = {"a": torch.arange(3.0)}
        assert torch.equal(waiting.pop(3)["a"], torch.arange(3.0)) and 3 not in waiting
        waiting[4] = {"a": torch.zeros(2)}
        on_disk = list(tmp_path.rglob("*.safetensors"))
        assert bool(on_disk) == (kind == "disk")
        assert all(
            "checkpoint" in str(path.relative_to(tmp_path)) for path in on_disk
        )  # a killed run is tidied by it
    assert not list(tmp_path.rglob("*.safetensors"))
