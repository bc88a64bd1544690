"""Depth and blocks alone against what transformers computes with whole models."""

from __future__ import annotations

import copy

import pytest
import tiny_families
import torch
from transformers import AutoModelForCausalLM

from apt_core import families
from apt_core.base.paths import ASSETS
from apt_core.measure import blocks_alone as alone
from apt_core.measure.blocks_alone import blocks_alone
from apt_core.measure.depth import Side, depth
from apt_core.measure.depth_values import BlocksAlone
from apt_core.models.load.skeleton import build
from apt_core.models.load.weight_store import MemoryStore

WINDOWS = torch.randint(0, 256, (3, 40), generator=torch.Generator().manual_seed(1))


def drained(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def halved(model):
    """The same model, every second column of each layer removed."""
    pruned = copy.deepcopy(model)
    for layer in families.all_layers(families.decoder_blocks(pruned)):
        layer.matrix[:, ::2] = 0
    return pruned


def side(model):
    return Side(model, MemoryStore(model))


@pytest.fixture
def llama():
    model = AutoModelForCausalLM.from_pretrained(ASSETS / "models" / "tiny-llama", dtype=torch.float32)
    return model.eval().requires_grad_(False)


def test_states_and_divergences_are_those_of_transformers(llama):
    pruned = halved(llama)
    found = drained(depth("run", side(llama), side(pruned), WINDOWS, "a text"))
    one, other = (m(input_ids=WINDOWS, output_hidden_states=True) for m in (llama, pruned))
    for index in range(3):  # behind the last block transformers tells the normed states
        a, b = one.hidden_states[index + 1], other.hidden_states[index + 1]
        assert found.blocks[index].relative_error == pytest.approx(
            float((b - a).square().sum() / a.square().sum()), rel=1e-4
        )
        assert found.blocks[index].cosine == pytest.approx(
            float(torch.cosine_similarity(a, b, dim=-1).mean()), rel=1e-4
        )
        lens = [llama.lm_head(m.model.norm(x)).log_softmax(-1) for m, x in ((llama, a), (pruned, b))]
        expected = (lens[0].exp() * (lens[0] - lens[1])).sum(-1).mean()
        assert found.blocks[index].divergence == pytest.approx(float(expected), rel=1e-3)
    p, q = one.logits.log_softmax(-1), other.logits.log_softmax(-1)
    assert found.positions == WINDOWS.numel()  # few enough to read them all
    assert found.blocks[-1].divergence == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), rel=1e-3)
    assert found.top1 == pytest.approx(float((p.argmax(-1) == q.argmax(-1)).double().mean()))


def test_a_model_does_not_part_from_itself(llama):
    found = drained(depth("run", side(llama), side(copy.deepcopy(llama)), WINDOWS, "a text"))
    assert all(one.relative_error == 0 and one.divergence < 1e-6 for one in found.blocks)
    assert found.top1 == 1


def test_one_block_at_a_time_from_disk_says_the_same(llama, tmp_path):
    pruned = halved(llama)
    pruned.save_pretrained(tmp_path / "pruned")
    sides = [
        Side(*build(folder, torch.float32, "cpu"))
        for folder in (ASSETS / "models" / "tiny-llama", tmp_path / "pruned")
    ]
    whole = drained(depth("run", side(llama), side(pruned), WINDOWS, "a text"))
    by_block = drained(depth("run", *sides, WINDOWS, "a text"))
    assert [one.divergence for one in by_block.blocks] == pytest.approx(
        [one.divergence for one in whole.blocks], rel=1e-4
    )
    assert all(parameter.is_meta for _, store in sides for parameter in store.blocks.parameters())


@pytest.mark.parametrize("family", ["llama", "gpt2", "mamba", "zamba2"])
@pytest.mark.parametrize("room", [256_000_000, 1])
def test_the_loss_of_each_block_alone_is_that_of_the_model_with_this_block(family, room, monkeypatch):
    monkeypatch.setattr(alone, "_STREAM_BYTES", room)  # all together, or one at a time
    dense = tiny_families.model(family).eval().requires_grad_(False)
    pruned = tiny_families.model(family).eval().requires_grad_(False)
    for layer in families.all_layers(families.decoder_blocks(pruned)):
        layer.matrix.mul_(0.2)
    found = drained(blocks_alone("run", side(dense), side(pruned), WINDOWS, "a text"))

    def loss(model):
        return float(model(input_ids=WINDOWS, labels=WINDOWS).loss)

    assert found.dense == pytest.approx(loss(dense), rel=1e-4)
    assert found.pruned == pytest.approx(loss(pruned), rel=1e-4)
    blocks, others = families.decoder_blocks(dense), families.decoder_blocks(pruned)
    for index in range(len(blocks)):
        own = blocks[index]
        blocks[index] = others[index]
        assert found.losses[index] == pytest.approx(loss(dense), rel=1e-4), index
        blocks[index] = own
    assert len(found.losses) == len(blocks)


def test_shares_are_of_all_increases():
    found = BlocksAlone(
        run="r", text="t", windows=1, length=16, dense=2.0, pruned=3.0, losses=(2.3, 1.9, 2.1), seconds=0
    )
    assert found.shares == pytest.approx((0.75, 0, 0.25))
    assert found.model_copy(update={"losses": (2.0, 1.5)}).shares == (0, 0)
