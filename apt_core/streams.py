"""Hidden states on their way through the decoder, one block at a time.

In memory beside the model: the hidden states of the calibration set (one buffer, overwritten in place),
the Gram matrix of one input, and what a paused forward pass of a block holds.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator
from time import perf_counter
from typing import Any, NamedTuple

import torch
from greenlet import GreenletExit, getcurrent, greenlet
from torch import Tensor, nn

from apt_core.families import Layer, prunable_layers
from apt_core.maths.hessian import LayerStats
from apt_core.sensitivity import BorderGradients, Borders
from apt_core.weights import Weights


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
    dense: the same states in the dense model, when a method compares with them; None otherwise.
    borders: the gradients of the dense loss between the blocks, when a method asks the loss; None otherwise.
    """

    def __init__(self, states: Tensor, arguments: list[tuple[tuple, dict[str, Any]]], batch: int):
        self.states = states
        self.arguments = arguments
        self.batch = batch
        self.dense: Tensor | None = None
        self.borders: BorderGradients | None = None
        self.forward_seconds = 0.0
        self.gradient_seconds = 0.0
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

    def keep_dense_stream(self) -> None:
        """From here on carry the dense model's hidden states beside the pruned model's."""
        self.dense = self.states.clone()

    def ask_the_loss(
        self, model: nn.Module, weights: Weights, windows: Tensor, borders: Borders | None = None
    ) -> Generator[None, None, None]:
        """Measure how the dense model's loss changes with what leaves each block, on the first windows."""
        entering = self.states[: len(windows)]
        measuring = BorderGradients.measure(model, weights, self.arguments, windows, entering, borders)
        self.borders = yield from self._timed_gradients(measuring)

    @torch.no_grad()
    def straight_through(self, block: nn.Module, index: int) -> Iterator[None]:
        """Take every window through `block` without a halt; yields after every batch."""
        args, kwargs = self.arguments[index]
        for start in range(0, len(self.states), self.batch):
            part = slice(start, start + self.batch)
            output = block(self.states[part], *args, **kwargs)
            self.states[part] = output[0] if isinstance(output, tuple) else output
            yield None

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
        arguments = self.arguments[index]
        twin = copy.deepcopy(block) if self.dense is not None else None  # before it is pruned or hooked
        felt: dict[str, Tensor] = {}
        if self.borders is not None:
            twins = prunable_layers(twin, index)
            felt = yield from self._timed_gradients(
                self.borders.sensitivities(twin, index, twins, arguments, self.dense, self.batch)
            )
        passes = [PausedPass(block, layers, arguments, self.states, self.batch)]
        if twin is not None:
            passes.append(PausedPass(twin, prunable_layers(twin, index), arguments, self.dense, self.batch))
        try:
            for arrival in self._walk(*passes):
                if arrival is not None and arrival.layer.name in felt:
                    arrival = arrival._replace(stats=arrival.stats.felt_by(felt.pop(arrival.layer.name)))
                yield arrival
        finally:
            for paused in passes:
                paused.close()

    def _timed_gradients(self, steps: Generator[None, None, Any]) -> Generator[None, None, Any]:
        while True:
            start = perf_counter()
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            finally:
                self.gradient_seconds += perf_counter() - start
            yield None

    def _walk(self, pruned: PausedPass, dense: PausedPass | None = None) -> Iterator[Arrival | None]:
        previous: dict[int, Tensor] = {}
        stats: LayerStats | None = None
        walking = [pruned] if dense is None else [pruned, dense]
        yield from self._advance(walking, None)
        while (name := pruned.next_layer()) is not None:
            here = pruned.standing(name)
            if here.keys() != previous.keys() or any(here[n] is not previous[n] for n in here):
                stats = yield from self._statistics(name, here, dense)
            yield Arrival(pruned.layers[name], stats)
            previous = here
            yield from self._advance(walking, name)

    def _advance(self, walking: list[PausedPass], name: str | None) -> Iterator[None]:
        """Lead all passes on from layer `name` (None: from the block's door)."""
        for paused in walking:
            steps = paused.leave(name)
            while True:
                start = perf_counter()
                more = next(steps, None)
                self.forward_seconds += perf_counter() - start
                if more is None:
                    break
                yield None

    def _statistics(
        self, name: str, here: dict[int, Tensor], dense: PausedPass | None
    ) -> Generator[None, None, LayerStats]:
        stats: LayerStats | None = None
        for number, tensor in here.items():
            start = perf_counter()
            stats = stats or LayerStats.empty(tensor.shape[-1], tensor.device)
            stats.add_(tensor)
            if dense is not None:
                stats.add_drift_(tensor, dense.standing(name)[number])
            self.statistics_seconds += perf_counter() - start
            yield None
        return stats


class PausedPass:
    """The forward passes of all batches through one block, each halted in front of a linear layer."""

    def __init__(
        self,
        block: nn.Module,
        layers: list[Layer],
        arguments: tuple[tuple, dict[str, Any]],
        states: Tensor,
        batch: int,
    ):
        self.layers = {layer.name: layer for layer in layers}
        self._block = block
        self._arguments = arguments
        self._states = states
        self._order = {layer.name: place for place, layer in enumerate(layers)}
        self._visited: set[str] = set()
        self._at: dict[int, tuple[str, Tensor]] = {}  # which layer each batch stands in front of, its input
        self._parts = [slice(start, start + batch) for start in range(0, len(states), batch)]
        self._passes = [greenlet(self._forward) for _ in self._parts]
        self._hooks = [layer.module.register_forward_pre_hook(self._halt(layer.name)) for layer in layers]

    def next_layer(self) -> str | None:
        """Batches differ only where a block branches (experts): then the earlier layer goes first."""
        return min((name for name, _ in self._at.values()), key=self._order.__getitem__, default=None)

    def standing(self, name: str) -> dict[int, Tensor]:
        """The inputs of the batches that stand in front of this layer."""
        return {number: tensor for number, (where, tensor) in self._at.items() if where == name}

    def leave(self, name: str | None) -> Iterator[int]:
        """Lead every batch that stands at `name` (None: at the block's door) to its next halt."""
        if name is None:
            waiting = range(len(self._passes))
        else:
            self._visited.add(name)
            waiting = list(self.standing(name))
        for number in waiting:
            begun = self._at.pop(number, None) is not None
            halted = self._passes[number].switch(*(() if begun else (self._parts[number],)))
            if halted is not None:
                self._at[number] = halted
            yield number

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()
        for unfinished in self._passes:
            if unfinished and not unfinished.dead:
                unfinished.throw(GreenletExit)

    def _forward(self, part: slice) -> None:
        args, kwargs = self._arguments
        output = self._block(self._states[part], *args, **kwargs)
        self._states[part] = output[0] if isinstance(output, tuple) else output

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
