"""The sensitivity of the dense loss, measured block by block, against one backward pass through the whole model."""

from __future__ import annotations

import pytest
import tiny_families
import torch
import torch.nn.functional as F

from apt_core import families
from apt_core.maths import hessian
from apt_core.maths.output_metric import OutputMetric
from apt_core.models.load.loading import load
from apt_core.models.load.tensor_store import ScratchTensors
from apt_core.models.load.weight_store import MemoryStore
from apt_core.passes import gradients
from apt_core.passes.entering import Entering
from apt_core.passes.gradients import output_sensitivity, steps_of
from apt_core.texts.sources import load_text
from apt_core.texts.windows import token_windows
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
    monkeypatch.setattr(gradients, "_TOKENS_PER_BATCH", 48 * at_once)
    monkeypatch.setattr("apt_core.base.limits.LOGITS_BYTES", 1)  # 16 positions of the head at a time
    monkeypatch.setattr(hessian, "_PANEL", 16)  # S is added up in several panels, as in a wide layer
    entering = Entering.of(model, blocks, windows, batch=2)
    before = entering.states.clone()
    layers = families.all_layers(blocks)
    stores = {"scratch": lambda name: ScratchTensors(tmp_path / name, "cpu")} if on_disk else {}
    sensitivity, yields = returned(
        output_sensitivity(model, MemoryStore(model), layers, windows, entering, whole, **stores)
    )
    assert torch.equal(entering.states, before)
    assert yields == steps_of(len(blocks), *windows.shape)
    expected = by_autograd(model, layers, windows)
    for index in range(len(blocks)):
        found = sensitivity.take(index)
        own = {layer.name: layer for layer in layers if layer.block == index}
        assert set(found) == set(own)
        for name, metric in found.items():
            wanted = expected[index, name]
            assert torch.linalg.norm(metric.vectors - wanted) < 1e-3 * torch.linalg.norm(wanted), name
            assert sensitivity.costs[index, name].weights == own[name].matrix.numel()
        assert sensitivity.take(index) == {}, "taken out once"
    assert not list(tmp_path.glob("*/*"))
    assert not any(layer.module._forward_hooks for layer in layers)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_model_is_left_as_it_was(tiny):
    model, blocks, windows = tiny
    before = model(input_ids=windows[:1], use_cache=False).logits
    entering = Entering.of(model, blocks, windows, batch=4).first(2)
    layers = families.all_layers(blocks)
    returned(output_sensitivity(model, MemoryStore(model), layers, windows[:2], entering, whole))
    assert torch.equal(model(input_ids=windows[:1], use_cache=False).logits, before)
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in blocks)


def test_the_costs_of_experts_are_those_of_their_tokens():
    """Every token's gradient and input by ordinary autograd, weight by weight: 1/2 sum_t (g_ti w_ij x_tj)^2.

    The experts of a small mixture see different numbers of tokens, and the costs must follow them once, not twice.
    """
    model = tiny_families.model("mixtral").eval()
    blocks = families.decoder_blocks(model)
    torch.manual_seed(0)
    windows = torch.randint(0, 256, (8, 64))
    entering = Entering.of(model, blocks, windows, batch=4)
    layers = families.all_layers(blocks)
    found, _ = returned(output_sensitivity(model, MemoryStore(model), layers, windows, entering, whole))
    experts = [layer for layer in layers if layer.block == 0 and layer.routed and "down" in layer.name]
    seen = {layer.name: [0.0, 0] for layer in experts}

    def listen(layer):
        def hook(_, args, output):
            inputs = args[0].detach().flatten(0, -2)

            def add(gradient):
                squares = (
                    gradient.flatten(0, -2).square().T @ inputs.square()
                )  # [out, in], summed over tokens
                seen[layer.name][0] += float((layer.matrix.square() * squares).sum())
                seen[layer.name][1] += len(inputs)

            output.register_hook(add)

        return hook

    hooks = [
        *families.module_proxies(layers),
        *(one.module.register_forward_hook(listen(one)) for one in experts),
    ]
    for window in windows:
        embedded = model.get_input_embeddings()(window.unsqueeze(0)).detach().requires_grad_(True)
        logits = model(inputs_embeds=embedded, use_cache=False).logits[0, :-1]
        F.cross_entropy(logits, window[1:], reduction="sum").backward()
    for hook in hooks:
        hook.remove()
    tokens = [count for _, count in seen.values()]
    assert max(tokens) > 1.25 * min(tokens), "the test needs experts that see different numbers of tokens"
    for layer in experts:
        estimate = float(found.costs[0, layer.name].logs.double().exp().mean()) * layer.matrix.numel()
        assert estimate == pytest.approx(seen[layer.name][0], rel=0.2), layer.name
