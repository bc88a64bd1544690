"""The sensitivity of the dense model's loss to a change at the output of each linear layer.

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

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apt_core.base.limits import TOKENS_BACK_AT_ONCE
from apt_core.families import Layer, differentiable, module_proxies
from apt_core.maths.allocation import Cost, Fisher
from apt_core.maths.hessian import add_upper_product_, mirrored
from apt_core.maths.output_metric import OutputMetric
from apt_core.maths.precision import bfloat16_products
from apt_core.models.load.tensor_store import TensorStore
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.embedding_and_head import EmbeddingAndHead
from apt_core.passes.entering import Entering
from apt_core.passes.runner import OpenBlock, Runner, slices

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TOKENS_PER_BATCH = TOKENS_BACK_AT_ONCE

Condense = Callable[[Tensor], OutputMetric]


class OutputSensitivity:
    """Of every layer that any token reached."""

    def __init__(self, metrics: TensorStore, costs: dict[tuple[int, str], Cost]):
        self.metrics = metrics
        self.costs = costs  # (block, layer name) -> what removing its weights would cost

    def take(self, index: int) -> dict[str, OutputMetric]:
        """Of the layers of a block, by name; once."""
        return _unpacked(self.metrics.pop(index, {}))


def steps_of(blocks: int, windows: int, length: int) -> int:
    """How often `output_sensitivity` yields."""
    return windows + 2 * blocks * -(-windows // _at_once(length))


def output_sensitivity(
    model: PreTrainedModel,
    store: WeightStore,
    layers: list[Layer],
    windows: Tensor,
    entering: Entering,
    condense: Condense,
    scratch: Callable[[str], TensorStore] = lambda name: {},
) -> Generator[None, None, OutputSensitivity]:
    """Yields after every window of the head, and every few windows of a block forwards and backwards.

    windows: [windows, length] token ids; entering: the same in front of the first block, left as it is.
    condense: S [out, out] float32, the mean of g g^T over tokens -> what is kept of it. The loss is the next
    token's cross-entropy, summed over a window. scratch: where states and results wait.
    """
    runner, blocks = Runner(store, entering), len(store.blocks)
    forwards = Forwards(entering.states, scratch("states"), last=blocks - 1)
    yield from runner.run(forwards)
    head = EmbeddingAndHead.of(model, store)
    gradients = yield from of_the_loss(head, windows, forwards.states)
    forwards.states = entering.states  # what left the last block is not needed any more
    backwards = _Backwards(forwards, gradients, layers, condense, scratch("metrics"))
    del gradients
    yield from runner.run(backwards, reversed(range(blocks)))
    return OutputSensitivity(backwards.metrics, backwards.costs)


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


class Forwards:
    """A visitor that keeps what leaves every block but the last."""

    def __init__(self, states: Tensor, kept: TensorStore, last: int):
        self.entering = states
        self.states = states
        self.kept = kept
        self._last = last

    def to(self, device: torch.device) -> None:
        self.states = self.states.to(device)

    @torch.no_grad()
    def visit(self, block: OpenBlock) -> Generator[None, None, None]:
        leaving = torch.empty_like(self.states)
        for part in _parts(self.states):
            leaving[part] = block(self.states[part], part)
            yield None
        self.states = leaving
        if block.index < self._last:
            self.kept[block.index] = {"states": leaving}

    def take(self, index: int) -> Tensor:
        """What entered a block, to be overwritten; once."""
        return self.kept.pop(index - 1)["states"] if index else self.entering.clone()


class _Backwards:
    """A visitor that follows the gradient of the loss from what leaves a block to what enters it.

    gradients: [windows, length, hidden], at what leaves the block. metrics: what is kept of each layer's S.
    """

    def __init__(
        self,
        forwards: Forwards,
        gradients: Tensor,
        layers: list[Layer],
        condense: Condense,
        metrics: TensorStore,
    ):
        self._forwards = forwards
        self._gradients = gradients
        self._layers = layers
        self._condense = condense
        self.metrics = metrics
        self.costs: dict[tuple[int, str], Cost] = {}

    def to(self, device: torch.device) -> None:
        self._gradients = self._gradients.to(device)

    def visit(self, block: OpenBlock) -> Generator[None, None, None]:
        entering = self._forwards.take(block.index).to(self._gradients.device)
        own = {layer.name: _LayerGradients(layer) for layer in self._layers if layer.block == block.index}
        for part in _parts(entering):
            with _listening(own), torch.enable_grad(), differentiable():
                inputs = entering[part].clone().requires_grad_(True)
                torch.autograd.backward(block(inputs, part), self._gradients[part])
            assert inputs.grad is not None
            entering[part] = inputs.grad
            yield None
        self._gradients = entering
        reached = {name: one for name, one in own.items() if one.outer is not None}
        self.costs |= {(block.index, name): one.cost() for name, one in reached.items()}
        self.metrics[block.index] = _packed({name: self._condense(one.mean) for name, one in reached.items()})


def _parts(states: Tensor) -> list[slice]:
    return slices(len(states), _at_once(states.shape[1]))


def _at_once(length: int) -> int:
    return max(1, _TOKENS_PER_BATCH // length)


class _LayerGradients:
    """Sums over tokens at one layer of the dense model."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.fisher: Fisher | None = None
        self.outer: Tensor | None = None  # [out, out], upper triangle: of the gradients at its output
        self.tokens = 0

    def add_(self, inputs: Tensor, gradient: Tensor) -> None:
        """Count the tokens of one call. inputs: [..., in]; gradient: [..., out], of the loss at the output."""
        tokens = gradient.reshape(-1, gradient.shape[-1])
        rows = tokens.float()
        if self.outer is None or self.fisher is None:
            self.outer = rows.new_zeros(rows.shape[1], rows.shape[1])
            self.fisher = Fisher(rows.shape[1], inputs.shape[-1], rows.device)
        self.fisher.add_(tokens, inputs.reshape(-1, inputs.shape[-1]))
        with bfloat16_products(gradient.dtype == torch.bfloat16):
            add_upper_product_(self.outer, rows.T, rows)
        self.tokens += len(rows)

    def cost(self) -> Cost:
        """What removing weights would cost all of its tokens together; asked while the weights are in memory."""
        assert self.fisher is not None
        return self.fisher.cost(self.layer.matrix)

    @property
    def mean(self) -> Tensor:
        assert self.outer is not None
        return mirrored(self.outer) / max(self.tokens, 1)


@contextmanager
def _listening(own: dict[str, _LayerGradients]) -> Iterator[None]:
    def listen(one: _LayerGradients) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            inputs = args[0].detach()
            output.register_hook(lambda gradient: one.add_(inputs, gradient))  # type: ignore[no-untyped-call]

        return hook

    hooks = [
        *module_proxies([one.layer for one in own.values()]),
        *(one.layer.module.register_forward_hook(listen(one)) for one in own.values()),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def of_the_loss(head: EmbeddingAndHead, windows: Tensor, leaving: Tensor) -> Generator[None, None, Tensor]:
    """The gradient at what leaves the last block. Position by position: the head mixes none of them."""
    gradients = torch.zeros_like(leaving)
    for number, window in enumerate(windows):
        one = slice(number, number + 1)
        for part in head.parts(windows.shape[1] - 1):
            with torch.enable_grad():
                leaf = leaving[one, part].detach().requires_grad_(True)
                logits = head.logits(window[None, part], leaf)[0].float()
                torch.autograd.backward(F.cross_entropy(logits, window[1:][part], reduction="sum"))
            assert leaf.grad is not None
            gradients[one, part] = leaf.grad
        yield None
    return gradients
