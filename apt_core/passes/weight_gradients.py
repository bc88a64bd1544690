"""Gradients of the dense model's loss with respect to weights: a block at a time, a window at a time.

All windows go forwards through one block after the other, then backwards; what is made of the gradients of a block is
computed while it is open, so no more than one block's gradients are held.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from apt_core.families import Layer
from apt_core.maths.group_importance import WeightGradients
from apt_core.models.load.tensor_store import TensorStore
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.embedding_and_head import EmbeddingAndHead
from apt_core.passes.entering import Entering
from apt_core.passes.gradients import Forwards, of_the_loss
from apt_core.passes.runner import OpenBlock, Runner

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# (number of the block, name -> gradients of the layer's matrix [out, in]), while the block is open.
Hear = Callable[[int, dict[str, WeightGradients]], None]


def weight_gradients(
    model: PreTrainedModel,
    store: WeightStore,
    layers: Sequence[Layer],
    windows: Tensor,
    entering: Entering,
    hear: Hear,
    scratch: Callable[[str], TensorStore],
) -> Generator[None, None, None]:
    """Of the mean loss of a predicted token; blocks come from the last to the first.

    Yields after every few windows forwards, every window of the head and every window of a block backwards. entering:
    of the windows; it is left as it is.
    """
    runner, blocks = Runner(store, entering), len(store.blocks)
    forwards = Forwards(entering.states, scratch("states"), last=blocks - 1)
    yield from runner.run(forwards)
    head = EmbeddingAndHead.of(model, store)
    gradients = yield from of_the_loss(head, windows, forwards.states)
    gradients /= windows.shape[1] - 1  # each window's own mean, as if it were alone
    forwards.states = entering.states
    yield from runner.run(_Backwards(forwards, gradients, layers, hear), reversed(range(blocks)))


class _Backwards:
    """A visitor; gradients: [windows, length, hidden], at what leaves the block."""

    def __init__(self, forwards: Forwards, gradients: Tensor, layers: Sequence[Layer], hear: Hear):
        self._forwards, self._gradients, self._layers, self._hear = forwards, gradients, layers, hear

    def to(self, device: torch.device) -> None:
        self._gradients = self._gradients.to(device)

    def visit(self, block: OpenBlock) -> Generator[None, None, None]:
        own = [layer for layer in self._layers if layer.block == block.index]
        entering = self._forwards.take(block.index).to(self._gradients.device)
        sums = [torch.zeros_like(layer.parameter, dtype=torch.float32) for layer in own]
        squares = [torch.zeros_like(one) for one in sums]
        for number in range(len(entering)):
            found = self._of_window(block, own, entering, slice(number, number + 1))
            for total, square, gradient in zip(sums, squares, found, strict=True):
                total += gradient
                square += gradient.float().square()
            yield None
        self._gradients, windows = entering, len(entering)
        named = zip(own, sums, squares, strict=True)
        self._hear(
            block.index, {one.name: _mean(one, total, square, windows) for one, total, square in named}
        )

    def _of_window(self, block: OpenBlock, own: list[Layer], entering: Tensor, part: slice) -> list[Tensor]:
        """The gradients of these layers' parameters; `entering` is overwritten by that of what enters the block."""
        inputs = entering[part].clone().requires_grad_(True)
        with _asking(own), torch.enable_grad():
            of_inputs, *found = torch.autograd.grad(
                block(inputs, part), [inputs, *(layer.parameter for layer in own)], self._gradients[part]
            )
        entering[part] = of_inputs
        return list(found)


def _mean(layer: Layer, total: Tensor, square: Tensor, windows: int) -> WeightGradients:
    transposed = tuple(layer.parameter.shape) != layer.shape
    mean, squares = total / windows, square / windows
    return WeightGradients(mean.T, squares.T) if transposed else WeightGradients(mean, squares)


@contextmanager
def _asking(layers: list[Layer]) -> Iterator[None]:
    """Inside, gradients reach the parameters of these layers."""
    for layer in layers:
        layer.parameter.requires_grad_(True)
    try:
        yield
    finally:
        for layer in layers:
            layer.parameter.requires_grad_(False)
