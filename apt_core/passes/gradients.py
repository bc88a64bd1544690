"""How much the dense model's loss minds a change at the output of each linear layer.

With g the gradient of the loss at a layer's output, a small change d of that output costs about (g . d)^2 / 2,
averaged over tokens: d^T S d with S = sum of g g^T. Together with the Gram matrix G of the inputs this makes
the loss of changing a weight by dW about tr(S dW G dW^T) (K-FAC, arXiv 1503.05671; for pruning arXiv 2312.17244),
where the layer-wise objective has S = I. No weight is trained: the gradients are those of the dense model,
taken once.

All windows go forwards through one block after the other, then backwards, a few windows at a time, so that one
block's weights and its activations for these windows are all that is held beside the states between the blocks.
Where a block is passed backwards, S is added up for each of its layers and condensed at once to what the method
keeps of it (`maths.output_metric`): a few directions instead of a square matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apt_core.base.limits import TOKENS_BACK_AT_ONCE
from apt_core.families import Layer, differentiable, stand_ins
from apt_core.maths.allocation import Cost, cost_of
from apt_core.maths.hessian import add_upper_product_, mirrored
from apt_core.maths.output_metric import OutputMetric
from apt_core.maths.precision import bfloat16_products
from apt_core.models.load.weights import Weights, device_of
from apt_core.passes.arguments import Arguments, on_device, with_embeddings
from apt_core.passes.embedding_and_head import Bypass

_TOKENS_PER_BATCH = TOKENS_BACK_AT_ONCE

Condense = Callable[[Tensor], OutputMetric]


class Places(NamedTuple):
    """Where what is measured waits: in memory, or on disk (`scratch`). Block -> tensors by name."""

    states: MutableMapping[int, dict[str, Tensor]]
    metrics: MutableMapping[int, dict[str, Tensor]]


class Minded:
    """What the dense loss minds, of every layer."""

    def __init__(self, metrics: MutableMapping[int, dict[str, Tensor]], costs: dict[tuple[int, str], Cost]):
        self._metrics = metrics
        self.costs = costs  # (block, layer name) -> what removing its weights would cost

    def take(self, index: int) -> dict[str, OutputMetric]:
        """Of the layers of a block that any token reached, by name; once."""
        return _unpacked(self._metrics.pop(index, {}))


def steps_of(blocks: int, windows: int, length: int) -> int:
    """How often `measure` yields."""
    return windows + 2 * blocks * -(-windows // _at_once(length))


def measure(
    model: nn.Module,
    weights: Weights,
    layers: list[Layer],
    arguments: list[Arguments],
    windows: Tensor,
    entering: Tensor,
    condense: Condense,
    places: Places | None = None,
) -> Generator[None, None, Minded]:
    """Yields after every window of the head, and every few windows of a block forwards and backwards.

    windows: [windows, length] token ids. entering: what enters the first block, [windows, length, hidden].
    condense: S [out, out] float32, the mean of g g^T over tokens -> what is kept of it. The loss is the next
    token's cross-entropy, summed over a window.
    """
    states_of, metrics = places or Places({}, {})
    costs: dict[tuple[int, str], Cost] = {}
    walk = _Walk(weights, arguments, entering)
    states = entering
    for index in range(len(weights.blocks)):
        states = yield from walk.forwards(index, states)
        states_of[index] = {"states": states}
    del states_of[len(weights.blocks) - 1]
    gradient = yield from _of_the_loss(Bypass.of(model, weights), windows, states)
    for index in range(len(weights.blocks) - 1, -1, -1):
        inputs = states_of.pop(index - 1)["states"] if index else entering.clone()
        own = {layer.name: _Heard(layer) for layer in layers if layer.block == index}
        gradient = yield from walk.backwards(index, inputs, gradient, own)
        reached = {name: heard for name, heard in own.items() if heard.outer is not None}
        costs |= {(index, name): heard.cost for name, heard in reached.items()}
        metrics[index] = _packed({name: condense(heard.mean) for name, heard in reached.items()})
    return Minded(metrics, costs)


def _packed(metrics: dict[str, OutputMetric]) -> dict[str, Tensor]:
    """As a file of tensors keeps them."""
    return {
        f"{name}/{field}": torch.as_tensor(value)
        for name, metric in metrics.items()
        for field, value in metric._asdict().items()
    }


def _unpacked(tensors: dict[str, Tensor]) -> dict[str, OutputMetric]:
    fields: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        name, _, field = key.rpartition("/")
        fields.setdefault(name, {})[field] = float(tensor) if field == "rest" else tensor
    return {name: OutputMetric(**of_one) for name, of_one in fields.items()}


class _Walk:
    """Forwards and backwards through one block after the other, a few windows at a time."""

    def __init__(self, weights: Weights, arguments: list[Arguments], embeddings: Tensor):
        self._weights = weights
        self._arguments = arguments
        self._embeddings = embeddings

    def forwards(self, index: int, entering: Tensor) -> Generator[None, None, Tensor]:
        """What leaves a block, [windows, length, hidden]."""
        with self._weights.block(index) as block:
            entering = entering.to(device_of(block))
            leaving = torch.empty_like(entering)
            for some in self._parts(entering):
                with torch.no_grad():
                    leaving[some] = self._called(block, index, entering[some], some)
                yield None
        return leaving

    def backwards(
        self, index: int, entering: Tensor, gradients: Tensor, heard: dict[str, _Heard]
    ) -> Generator[None, None, Tensor]:
        """From the gradient at what leaves a block to the one at what enters it, written over `entering`.

        On the way `heard` listens to its layers.
        """
        with self._weights.block(index) as block:
            entering, gradients = (states.to(device_of(block)) for states in (entering, gradients))
            for some in self._parts(entering):
                with _listening(heard), torch.enable_grad(), differentiable():
                    inputs = entering[some].clone().requires_grad_(True)
                    self._called(block, index, inputs, some).backward(gradients[some])
                entering[some] = inputs.grad
                yield None
            for one in heard.values():
                one.weigh()
        return entering

    @staticmethod
    def _parts(states: Tensor) -> Iterator[slice]:
        step = _at_once(states.shape[1])
        return (slice(start, min(start + step, len(states))) for start in range(0, len(states), step))

    def _called(self, block: nn.Module, index: int, states: Tensor, some: slice) -> Tensor:
        arguments = with_embeddings(self._arguments[index], self._embeddings[some])
        positional, named = on_device(arguments, states.device)
        return _first(block(states, *positional, **named))


def _at_once(length: int) -> int:
    return max(1, _TOKENS_PER_BATCH // length)


class _Heard:
    """Of one layer in the dense model, over the tokens that were asked."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.inputs: Tensor | None = None  # [in], sums of squares
        self.outer: Tensor | None = None  # [out, out], upper triangle: of the gradients at its output
        self.tokens = 0
        self.cost: Cost | None = None

    def hear_(self, inputs: Tensor) -> None:
        squares = inputs.detach().float().square().flatten(0, -2).sum(dim=0)
        self.inputs = squares if self.inputs is None else self.inputs + squares

    def feel_(self, gradient: Tensor) -> None:
        rows = gradient.reshape(-1, gradient.shape[-1]).float()
        if self.outer is None:
            self.outer = rows.new_zeros(rows.shape[1], rows.shape[1])
        with bfloat16_products(gradient.dtype == torch.bfloat16):
            add_upper_product_(self.outer, rows.T, rows)
        self.tokens += len(rows)

    def weigh(self) -> None:
        """While the layer's weights are here: what removing them would cost."""
        if self.outer is not None:
            self.cost = cost_of(self.layer.matrix, self.outer.diagonal(), self.inputs)

    @property
    def mean(self) -> Tensor:
        return mirrored(self.outer) / max(self.tokens, 1)


@contextmanager
def _listening(heard: dict[str, _Heard]) -> Iterator[None]:
    def listen(one: _Heard):
        def hook(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            one.hear_(args[0])
            output.register_hook(one.feel_)

        return hook

    hooks = [
        *stand_ins([one.layer for one in heard.values()]),
        *(one.layer.module.register_forward_hook(listen(one)) for one in heard.values()),
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
        for part in bypass.parts(windows.shape[1] - 1):
            with torch.enable_grad():
                leaf = leaving[one, part].detach().requires_grad_(True)
                logits = bypass.logits(window[None, part], leaf)[0].float()
                F.cross_entropy(logits, window[1:][part], reduction="sum").backward()
            gradients[one, part] = leaf.grad
        yield None
    return gradients


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output
