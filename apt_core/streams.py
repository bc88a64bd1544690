"""Hidden states on their way through the decoder, one block at a time.

In memory beside the model: the hidden states of the calibration set (one buffer, overwritten in place),
the Gram matrix of one input, and what a paused forward pass of a block holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Any, NamedTuple

import torch
from greenlet import GreenletExit, getcurrent, greenlet
from torch import Tensor, nn

from apt_core.families import Layer
from apt_core.maths.hessian import LayerStats


class _Reached(Exception):
    """The forward pass has come as far as it is needed."""


class Arrival(NamedTuple):
    """Every batch stands in front of this layer; its weight may now be changed."""

    layer: Layer
    stats: LayerStats


class HiddenStates:
    """The inputs of the current block for every calibration window.

    states: [windows, length, hidden] in the model's compute dtype.
    arguments: for every block, the positional and keyword arguments that the decoder passes beside the
    hidden states (rotary tables, masks), captured once with one window: windows have equal length and no
    padding, so they hold for any batch.
    """

    def __init__(self, states: Tensor, arguments: list[tuple[tuple, dict[str, Any]]], batch: int):
        self.states = states
        self.arguments = arguments
        self.batch = batch
        self.forward_seconds = 0.0
        self.statistics_seconds = 0.0

    @classmethod
    @torch.no_grad()
    def at_first_block(
        cls, model: nn.Module, blocks: nn.ModuleList, windows: Tensor, batch: int
    ) -> HiddenStates:
        """windows: [windows, length] token ids on the model's device."""
        arguments = _block_arguments(model, blocks, windows[:1])
        states = None
        for start in range(0, len(windows), batch):
            entering = _entering_first_block(model, blocks[0], windows[start : start + batch])
            if states is None:
                states = entering.new_empty(len(windows), *entering.shape[1:])
            states[start : start + batch] = entering
        return cls(states, arguments, batch)

    @torch.no_grad()
    def through(self, block: nn.Module, index: int, layers: list[Layer]) -> Iterator[Arrival | None]:
        """Take every window through `block`, stopping in front of each of its linear layers.

        All batches are led up to the first layer and paused there (each is a greenlet: an ordinary forward
        pass that can be left and entered again). The Gram matrix of what stands in front of the layer is
        yielded; whoever iterates prunes the layer; then all batches go on through the pruned layer to the
        next one. So every layer is pruned with the inputs that the pruned model really gives it, and each
        block is computed once, not twice. Layers that read the same tensor (q, k, v; gate, up) are found by
        the tensor's identity and share one Gram matrix.

        Yields None in between, at least once per batch, so that the caller can report or stop.
        """
        paused = _PausedForward(self, block, index, layers)
        try:
            yield from paused.run()
        finally:
            paused.close()


class _PausedForward:
    """The forward passes of all batches through one block, each halted in front of a linear layer."""

    def __init__(self, hidden: HiddenStates, block: nn.Module, index: int, layers: list[Layer]):
        self._hidden = hidden
        self._block = block
        self._arguments = hidden.arguments[index]
        self._layers = {layer.name: layer for layer in layers}
        self._order = {layer.name: place for place, layer in enumerate(layers)}
        self._visited: set[str] = set()
        self._hooks = [layer.module.register_forward_pre_hook(self._halt(layer.name)) for layer in layers]
        windows = range(0, len(hidden.states), hidden.batch)
        self._passes = [greenlet(self._forward) for _ in windows]
        self._parts = [slice(start, start + hidden.batch) for start in windows]

    def run(self) -> Iterator[Arrival | None]:
        at: dict[int, tuple[str, Tensor]] = {}  # which layer each batch stands in front of, and its input
        for number in range(len(self._passes)):
            self._advance(number, at)
            yield None
        previous: dict[int, Tensor] = {}
        stats: LayerStats | None = None
        while at:
            # Batches differ only where a block branches (experts): then the earlier layer goes first.
            name = min((name for name, _ in at.values()), key=self._order.__getitem__)
            here = {number: tensor for number, (where, tensor) in at.items() if where == name}
            same = stats is not None and here.keys() == previous.keys()
            if not same or any(tensor is not previous[number] for number, tensor in here.items()):
                stats = yield from self._statistics(here)
            yield Arrival(self._layers[name], stats)
            self._visited.add(name)
            previous = here
            for number in here:
                self._advance(number, at)
                yield None

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()
        for unfinished in self._passes:
            if unfinished and not unfinished.dead:
                unfinished.throw(GreenletExit)

    def _statistics(self, here: dict[int, Tensor]) -> Iterator[None]:
        stats: LayerStats | None = None
        for tensor in here.values():
            start = perf_counter()
            stats = stats or LayerStats.empty(tensor.shape[-1], tensor.device)
            stats.add_(tensor)
            self._hidden.statistics_seconds += perf_counter() - start
            yield None
        return stats

    def _advance(self, number: int, at: dict[int, tuple[str, Tensor]]) -> None:
        """Let one batch run to the next layer that it has to stop at, or to the end of the block."""
        start = perf_counter()
        begun = at.pop(number, None) is not None
        halted = self._passes[number].switch(*(() if begun else (self._parts[number],)))
        if halted is not None:
            at[number] = halted
        self._hidden.forward_seconds += perf_counter() - start

    def _forward(self, part: slice) -> None:
        args, kwargs = self._arguments
        output = self._block(self._hidden.states[part], *args, **kwargs)
        self._hidden.states[part] = output[0] if isinstance(output, tuple) else output

    def _halt(self, name: str):
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if name not in self._visited:
                getcurrent().parent.switch((name, inputs[0]))

        return hook


def _entering_first_block(model: nn.Module, first: nn.Module, windows: Tensor) -> Tensor:
    caught: list[Tensor] = []

    def catch(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        caught.append(args[0] if args else kwargs["hidden_states"])
        raise _Reached

    hook = first.register_forward_pre_hook(catch, with_kwargs=True)
    try:
        model(input_ids=windows, use_cache=False)
    except _Reached:
        return caught[0]
    finally:
        hook.remove()
    raise RuntimeError("The model never called its first decoder block.")


def _block_arguments(
    model: nn.Module, blocks: nn.ModuleList, window: Tensor
) -> list[tuple[tuple, dict[str, Any]]]:
    """What the decoder hands to each block beside the hidden states; blocks can differ (sliding windows)."""
    found: dict[int, tuple[tuple, dict[str, Any]]] = {}
    hooks = []
    last = len(blocks) - 1

    def catcher(index: int):
        def catch(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            rest = {key: value for key, value in kwargs.items() if key != "hidden_states"}
            found[index] = (tuple(args[1:]), rest)
            if index == last:
                raise _Reached

        return catch

    for index, block in enumerate(blocks):
        hooks.append(block.register_forward_pre_hook(catcher(index), with_kwargs=True))
    try:
        model(input_ids=window, use_cache=False)
    except _Reached:
        return [found[index] for index in range(len(blocks))]
    finally:
        for hook in hooks:
            hook.remove()
    raise RuntimeError("The model never called its last decoder block.")
