"""A dense model's weights and what each of its layers reads, of some windows of a text."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

import apt_core
from apt_core import families
from apt_core.base.policy import PRIVATE
from apt_core.families import opening_token
from apt_core.texts.sources import load_text
from apt_core.texts.windows import token_windows


class Dense(NamedTuple):
    """weights, inputs: block -> layer name -> [out, in], [windows, tokens, in]."""

    model: Any
    windows: Tensor
    weights: list[dict[str, Tensor]]
    inputs: list[dict[str, Tensor]]


def record(name: str, text: str, samples: int, length: int) -> Dense:
    model, tokenizer = apt_core.load_model(name, "cpu", "float32")
    opening = opening_token(model.config, tokenizer)
    windows = token_windows(
        tokenizer, load_text(text, "calibration", policy=PRIVATE), length, samples, opening
    )
    layers = families.all_layers(families.decoder_blocks(model))
    count = 1 + max(layer.block for layer in layers)
    weights: list[dict[str, Tensor]] = [{} for _ in range(count)]
    inputs: list[dict[str, Tensor]] = [{} for _ in range(count)]
    hooks = []
    for layer in layers:
        weights[layer.block][layer.name] = layer.matrix.detach().clone()

        def keep(module: Any, given: tuple[Tensor, ...], layer: Any = layer) -> None:
            inputs[layer.block][layer.name] = given[0].detach().clone()

        hooks.append(layer.module.register_forward_pre_hook(keep))
    with torch.no_grad():
        model(input_ids=windows, use_cache=False)
    for hook in hooks:
        hook.remove()
    return Dense(model, windows, weights, inputs)
