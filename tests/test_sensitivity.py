"""What the dense loss minds, measured block by block, against one backward pass through the whole model."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from apt_core import families
from apt_core.calibration import load_text, token_windows
from apt_core.models.loading import load
from apt_core.sensitivity import BorderGradients
from apt_core.streams import HiddenStates
from apt_core.weights import InMemory
from tests.test_pipeline import ASSETS, TINY


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


def test_block_by_block_gives_what_one_backward_pass_gives(tiny):
    model, blocks, windows = tiny
    hidden = HiddenStates.at_first_block(model, blocks, windows, batch=2)
    layers = families.all_layers(blocks)
    measuring = BorderGradients.measure(
        model, InMemory(blocks), layers, hidden.arguments, windows, hidden.states
    )
    borders, yields = returned(measuring)
    assert yields == 2 * len(blocks) * len(windows) + len(windows)
    assert [borders.gradients[index].shape for index in (0, 1)] == [(4, 48, 64)] * 2
    expected = by_autograd(model, families.all_layers(blocks), windows)
    for index, block in enumerate(blocks):
        layers = families.prunable_layers(block, index)
        found, _ = returned(
            borders.sensitivities(block, index, layers, hidden.arguments[index], hidden.states, 2)
        )
        assert set(found) == {layer.name for layer in layers}
        for name, outer in found.items():
            wanted = expected[index, name]
            assert torch.linalg.norm(outer - wanted) < 1e-3 * torch.linalg.norm(wanted), name
            cost = borders.costs[index, name]
            assert cost.weights == next(x for x in layers if x.name == name).matrix.numel()
        with torch.no_grad():
            args, kwargs = hidden.arguments[index]
            hidden.states = block(hidden.states, *args, **kwargs)
    assert not any(layer.module._forward_hooks for layer in families.all_layers(blocks))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_model_is_left_as_it_was(tiny):
    model, blocks, windows = tiny
    before = model(input_ids=windows[:1], use_cache=False).logits
    hidden = HiddenStates.at_first_block(model, blocks, windows, batch=4)
    some, entering = windows[:2], hidden.states[:2]
    layers = families.all_layers(blocks)
    returned(BorderGradients.measure(model, InMemory(blocks), layers, hidden.arguments, some, entering))
    assert torch.equal(model(input_ids=windows[:1], use_cache=False).logits, before)
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in blocks)
