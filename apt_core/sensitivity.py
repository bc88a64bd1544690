"""How much the dense model's loss minds a change at the output of each linear layer.

With g the gradient of the loss at a layer's output, a small change d of that output costs about (g . d)^2 / 2,
averaged over tokens: d^T S d with S = sum of g g^T. Together with the Gram matrix G of the inputs this makes
the loss of changing a weight by dW about tr(S dW G dW^T) (K-FAC, arXiv 1503.05671; for pruning arXiv 2312.17244),
where the layer-wise objective has S = I. No weight is trained: the gradients are those of the dense model,
taken once.

The gradients at the borders of the blocks are measured first, one window at a time and one block at a time,
so that the activations of one block are all that a backward pass holds. When a block is about to be pruned,
a backward pass through its dense copy gives S for each of its layers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apt_core.block_arguments import Arguments, with_embeddings
from apt_core.families import Layer, differentiable, stand_ins
from apt_core.maths.precision import bfloat16_products


class Felt:
    """Of one layer, in the dense model: sums of squares over the tokens that were asked."""

    def __init__(self) -> None:
        self.inputs: Tensor | None = None  # [in]
        self.outputs: Tensor | None = None  # [out], of the gradients

    def hear_(self, inputs: Tensor) -> None:
        squares = inputs.detach().float().square().flatten(0, -2).sum(dim=0)
        self.inputs = squares if self.inputs is None else self.inputs + squares

    def feel_(self, gradient: Tensor) -> None:
        squares = gradient.float().square().flatten(0, -2).sum(dim=0)
        self.outputs = squares if self.outputs is None else self.outputs + squares


class BorderGradients:
    """The gradient of the dense loss at the output of every block.

    gradients: [blocks, windows, length, hidden] in the model's dtype (bfloat16 reaches as far down as
    float32), of the next token's cross-entropy summed over a window.
    """

    def __init__(self, gradients: Tensor, felt: dict[tuple[int, str], Felt]):
        self.gradients = gradients
        self.felt = felt  # (block, layer name) -> what was seen on the way

    @property
    def windows(self) -> int:
        return self.gradients.shape[1]

    @classmethod
    def measure(
        cls,
        model: nn.Module,
        blocks: nn.ModuleList,
        layers: list[Layer],
        arguments: list[Arguments],
        windows: Tensor,
    ) -> Generator[None, None, BorderGradients]:
        """Yields after every window, returns the gradients. windows: [windows, length] token ids."""
        kept: Tensor | None = None
        felt = {(layer.block, layer.name): Felt() for layer in layers}
        for number, window in enumerate(windows):
            entering, last = _forward(model, blocks, window.unsqueeze(0))
            if kept is None:
                kept = last.new_empty(len(blocks), len(windows), *last.shape[1:])
            with _noting(layers, felt):
                kept[:, number] = torch.cat(_backward(blocks, arguments, entering, last))
            yield None
        return cls(kept, felt)

    def sensitivities(
        self,
        block: nn.Module,
        index: int,
        layers: list[Layer],
        arguments: Arguments,
        states: Tensor,
        batch: int,
        embeddings: Tensor | None = None,
    ) -> Generator[None, None, dict[str, Tensor]]:
        """Yields after every batch, returns {layer name: S [out, out] float32, mean over tokens}.

        block: the dense one. states: the dense model's hidden states in front of it, [windows, length, hidden].
        """
        found = {layer.name: _Outer() for layer in layers}
        for start in range(0, self.windows, batch):
            part = slice(start, min(start + batch, self.windows))
            own = None if embeddings is None else embeddings[part]
            positional, named = with_embeddings(arguments, own)
            with _watching(layers, found), torch.enable_grad(), differentiable():
                entering = states[part].detach().requires_grad_(True)
                leaving = _first(block(entering, *positional, **named))
                leaving.backward(self.gradients[index, part])
            yield None
        return {name: outer.mean for name, outer in found.items() if outer.total is not None}


class _Outer:
    """The mean of g g^T over tokens."""

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.tokens = 0

    def add_(self, gradient: Tensor) -> None:
        rows = gradient.reshape(-1, gradient.shape[-1]).float()
        with bfloat16_products(gradient.dtype == torch.bfloat16):
            added = rows.T @ rows
        self.total = added if self.total is None else self.total.add_(added)
        self.tokens += len(rows)

    @property
    def mean(self) -> Tensor:
        return self.total / max(self.tokens, 1)


@contextmanager
def _watching(layers: list[Layer], found: dict[str, _Outer]) -> Iterator[None]:
    """Gradients that arrive at the outputs of these layers are added up."""

    def watch(name: str):
        def hook(_: nn.Module, __: tuple, output: Tensor) -> None:
            output.register_hook(found[name].add_)

        return hook

    hooks = [
        *stand_ins(layers),
        *(layer.module.register_forward_hook(watch(layer.name)) for layer in layers),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _noting(layers: list[Layer], felt: dict[tuple[int, str], Felt]) -> Iterator[None]:
    def note(one: Felt):
        def hook(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            one.hear_(args[0])
            output.register_hook(one.feel_)

        return hook

    hooks = [
        *stand_ins(layers),
        *(layer.module.register_forward_hook(note(felt[layer.block, layer.name])) for layer in layers),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _forward(model: nn.Module, blocks: nn.ModuleList, window: Tensor) -> tuple[list[Tensor], Tensor]:
    """(what enters each block, the gradient of the loss at what leaves the last one); window: [1, length].

    Parameters need no gradients, so nothing is held for the blocks; the graph begins behind the last one.
    """
    entering: list[Tensor] = []
    leaf: list[Tensor] = []

    def enter(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        entering.append(args[0] if args else kwargs["hidden_states"])

    def leave(_: nn.Module, __: tuple, output: Any) -> Any:
        leaf.append(_first(output).detach().requires_grad_(True))
        return (leaf[0], *output[1:]) if isinstance(output, tuple) else leaf[0]

    hooks = [block.register_forward_pre_hook(enter, with_kwargs=True) for block in blocks]
    hooks.append(blocks[-1].register_forward_hook(leave))
    try:
        with torch.enable_grad():
            logits = model(input_ids=window, use_cache=False).logits[0, :-1].float()
            F.cross_entropy(logits, window[0, 1:], reduction="sum").backward()
    finally:
        for hook in hooks:
            hook.remove()
    return entering, leaf[0].grad


def _backward(
    blocks: nn.ModuleList, arguments: list[Arguments], entering: list[Tensor], last: Tensor
) -> list[Tensor]:
    """The gradients at the output of every block, first to last; every block is led through backwards."""
    gradients = [last]
    for index in range(len(blocks) - 1, -1, -1):
        positional, named = with_embeddings(arguments[index], entering[0])
        with torch.enable_grad(), differentiable():
            inputs = entering[index].detach().requires_grad_(True)
            _first(blocks[index](inputs, *positional, **named)).backward(gradients[-1])
        gradients.append(inputs.grad)
    return gradients[-2::-1]


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output
