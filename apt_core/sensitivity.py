"""How much the dense model's loss minds a change at the output of each linear layer.

With g the gradient of the loss at a layer's output, a small change d of that output costs about (g . d)^2 / 2,
averaged over tokens: d^T S d with S = sum of g g^T. Together with the Gram matrix G of the inputs this makes
the loss of changing a weight by dW about tr(S dW G dW^T) (K-FAC, arXiv 1503.05671; for pruning arXiv 2312.17244),
where the layer-wise objective has S = I. No weight is trained: the gradients are those of the dense model,
taken once.

The gradients at the borders of the blocks are measured first: all windows forwards through one block after
the other, then backwards, one window at a time, so that one block's weights and its activations for one window
are all that is held beside the borders. When a block is about to be pruned, a backward pass through its dense
copy gives S for each of its layers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apt_core.block_arguments import Arguments, on_device, with_embeddings
from apt_core.budgets import Cost, cost_of
from apt_core.bypass import Bypass
from apt_core.families import Layer, differentiable, stand_ins
from apt_core.maths.precision import bfloat16_products
from apt_core.weights import Weights, device_of

Borders = MutableMapping[int, Tensor]
_LOGITS_ROWS = 512  # positions whose logits exist at the same time


class BorderGradients:
    """The gradient of the dense loss at the output of every block.

    gradients: block -> [windows, length, hidden] in the model's dtype (bfloat16 reaches as far down as
    float32), of the next token's cross-entropy summed over a window. Each is taken out once.
    """

    def __init__(self, gradients: Borders, windows: int, costs: dict[tuple[int, str], Cost]):
        self.gradients = gradients
        self.windows = windows
        self.costs = costs  # (block, layer name) -> what removing its weights would cost

    @classmethod
    def measure(
        cls,
        model: nn.Module,
        weights: Weights,
        layers: list[Layer],
        arguments: list[Arguments],
        windows: Tensor,
        entering: Tensor,
        borders: Borders | None = None,
    ) -> Generator[None, None, BorderGradients]:
        """Yields after every window and block, forwards and backwards, and after every window's loss between
        ((2 * blocks + 1) * windows times).

        windows: [windows, length] token ids. entering: what enters the first block, [windows, length, hidden].
        borders: where the states and then the gradients between the blocks are kept; in memory when None.
        """
        borders = {} if borders is None else borders
        costs: dict[tuple[int, str], Cost] = {}
        walk = _Walk(weights, arguments, entering)
        states = entering
        for index in range(len(weights.blocks)):
            states = yield from walk.forwards(index, states)
            borders[index] = states
        gradient = yield from _of_the_loss(Bypass.of(model, weights), windows, states)
        borders[len(weights.blocks) - 1] = gradient
        for index in range(len(weights.blocks) - 1, -1, -1):
            inputs = borders[index - 1] if index else entering.clone()
            own = [layer for layer in layers if layer.block == index]
            gradient = yield from walk.backwards(index, inputs, gradient, own, costs)
            if index:
                borders[index - 1] = gradient
        return cls(borders, len(windows), costs)

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
        gradients = self.gradients.pop(index)
        for start in range(0, self.windows, batch):
            part = slice(start, min(start + batch, self.windows))
            positional, named = with_embeddings(arguments, None if embeddings is None else embeddings[part])
            with _watching(layers, found), torch.enable_grad(), differentiable():
                entering = states[part].detach().requires_grad_(True)
                leaving = _first(block(entering, *positional, **named))
                leaving.backward(gradients[part].to(leaving.device))
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


class _Walk:
    """Forwards and backwards through one block after the other, one window at a time."""

    def __init__(self, weights: Weights, arguments: list[Arguments], embeddings: Tensor):
        self._weights = weights
        self._arguments = arguments
        self._embeddings = embeddings

    def forwards(self, index: int, entering: Tensor) -> Generator[None, None, Tensor]:
        """What leaves a block, [windows, length, hidden]."""
        with self._weights.block(index) as block:
            entering = entering.to(device_of(block))
            leaving = torch.empty_like(entering)
            for one in self._windows(entering):
                with torch.no_grad():
                    leaving[one] = self._called(block, index, entering[one], one)
                yield None
        return leaving

    def backwards(
        self,
        index: int,
        entering: Tensor,
        gradients: Tensor,
        layers: list[Layer],
        costs: dict[tuple[int, str], Cost],
    ) -> Generator[None, None, Tensor]:
        """From the gradient at what leaves a block to the one at what enters it, written over `entering`.

        On the way, while its weights are here: what each of its layers' weights cost.
        """
        felt = {layer.name: _Felt() for layer in layers}
        with self._weights.block(index) as block:
            entering, gradients = (states.to(device_of(block)) for states in (entering, gradients))
            for one in self._windows(entering):
                with _noting(layers, felt), torch.enable_grad(), differentiable():
                    inputs = entering[one].clone().requires_grad_(True)
                    self._called(block, index, inputs, one).backward(gradients[one])
                entering[one] = inputs.grad
                yield None
            for layer in layers:
                one = felt[layer.name]
                if one.outputs is not None:
                    costs[index, layer.name] = cost_of(layer.matrix, one.outputs, one.inputs)
        return entering

    @staticmethod
    def _windows(states: Tensor) -> Iterator[slice]:
        return (slice(number, number + 1) for number in range(len(states)))

    def _called(self, block: nn.Module, index: int, states: Tensor, one: slice) -> Tensor:
        arguments = with_embeddings(self._arguments[index], self._embeddings[one])
        positional, named = on_device(arguments, states.device)
        return _first(block(states, *positional, **named))


class _Felt:
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


@contextmanager
def _noting(layers: list[Layer], felt: dict[str, _Felt]) -> Iterator[None]:
    def note(one: _Felt):
        def hook(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            one.hear_(args[0])
            output.register_hook(one.feel_)

        return hook

    hooks = [
        *stand_ins(layers),
        *(layer.module.register_forward_hook(note(felt[layer.name])) for layer in layers),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _of_the_loss(bypass: Bypass, windows: Tensor, leaving: Tensor) -> Generator[None, None, Tensor]:
    """The gradient at what leaves the last block. Position by position: the head mixes none of them."""
    gradients = torch.zeros_like(leaving)
    for number, window in enumerate(windows):
        one = slice(number, number + 1)
        for start in range(0, windows.shape[1] - 1, _LOGITS_ROWS):
            part = slice(start, min(start + _LOGITS_ROWS, windows.shape[1] - 1))
            with torch.enable_grad():
                leaf = leaving[one, part].detach().requires_grad_(True)
                logits = bypass.logits(window[None, part], leaf)[0].float()
                F.cross_entropy(logits, window[1:][part], reduction="sum").backward()
            gradients[one, part] = leaf.grad
        yield None
    return gradients


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output
