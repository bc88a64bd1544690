"""What the dense loss minds, measured block by block, against one backward pass through the whole model."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from apt_core import families
from apt_core.maths import hessian
from apt_core.maths.output_metric import OutputMetric
from apt_core.models.load.loading import load
from apt_core.models.load.weights import InMemory
from apt_core.passes import gradients as sensitivity
from apt_core.passes.gradients import Places, measure, steps_of
from apt_core.passes.halting import HiddenStates
from apt_core.passes.tensor_store import ScratchTensors
from apt_core.texts.sources import load_text, token_windows
from tests.execute.test_prune import ASSETS, TINY


@pytest.fixture(scope="module")
def tiny():
    model, tokenizer = load(ASSETS / "models" / TINY, torch.float32, "cpu")
    windows = token_windows(tokenizer, load_text("wiki-sample", "calibration", lambda *_: None), 48, 4)
    return model, families.decoder_blocks(model), windows


def returned(steps):
    """What a generator returns, and how often it yielded."""
    yields = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, yields
        yields += 1


def by_autograd(model, layers, windows):
    """The mean of g g^T at every layer's output, from one ordinary backward pass per window."""
    found, tokens = {}, windows.numel()

    def watch(key):
        def hook(_, __, output):
            output.register_hook(
                lambda g: found.__setitem__(
                    key, found.get(key, 0) + g.flatten(0, -2).T @ g.flatten(0, -2) / tokens
                )
            )

        return hook

    hooks = [layer.module.register_forward_hook(watch((layer.block, layer.name))) for layer in layers]
    for window in windows:
        embedded = model.get_input_embeddings()(window.unsqueeze(0)).detach().requires_grad_(True)
        logits = model(inputs_embeds=embedded, use_cache=False).logits[0, :-1]
        F.cross_entropy(logits, window[1:], reduction="sum").backward()
    for hook in hooks:
        hook.remove()
    return found


def whole(outer):
    """Nothing condensed: S itself travels in the place of its directions."""
    return OutputMetric(outer.diagonal().unsqueeze(1), outer.diagonal(), outer, 1.0)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("at_once", [1, 3, 4])
def test_block_by_block_gives_what_one_backward_pass_gives(tiny, tmp_path, monkeypatch, on_disk, at_once):
    model, blocks, windows = tiny
    monkeypatch.setattr(sensitivity, "_TOKENS_PER_BATCH", 48 * at_once)
    monkeypatch.setattr("apt_core.base.limits.LOGITS_BYTES", 1)  # 16 positions of the head at a time
    monkeypatch.setattr(hessian, "_PANEL", 16)  # S is added up in several panels, as in a wide layer
    hidden = HiddenStates.at_first_block(model, blocks, windows, batch=2)
    layers = families.all_layers(blocks)
    places = Places(*(ScratchTensors(tmp_path / name, "cpu") for name in "ab")) if on_disk else None
    minded, yields = returned(
        measure(model, InMemory(blocks), layers, hidden.arguments, windows, hidden.states, whole, places)
    )
    assert yields == steps_of(len(blocks), *windows.shape)
    expected = by_autograd(model, layers, windows)
    for index in range(len(blocks)):
        found = minded.take(index)
        own = {layer.name: layer for layer in layers if layer.block == index}
        assert set(found) == set(own)
        for name, metric in found.items():
            wanted = expected[index, name]
            assert torch.linalg.norm(metric.vectors - wanted) < 1e-3 * torch.linalg.norm(wanted), name
            assert minded.costs[index, name].weights == own[name].matrix.numel()
        assert minded.take(index) == {}, "taken out once"
    assert not list(tmp_path.glob("*/*"))
    assert not any(layer.module._forward_hooks for layer in layers)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_model_is_left_as_it_was(tiny):
    model, blocks, windows = tiny
    before = model(input_ids=windows[:1], use_cache=False).logits
    hidden = HiddenStates.at_first_block(model, blocks, windows, batch=4)
    some, entering = windows[:2], hidden.states[:2]
    layers = families.all_layers(blocks)
    returned(measure(model, InMemory(blocks), layers, hidden.arguments, some, entering, whole))
    assert torch.equal(model(input_ids=windows[:1], use_cache=False).logits, before)
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in blocks)
