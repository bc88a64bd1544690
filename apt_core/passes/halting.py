"""Hidden states on their way through the decoder, one block at a time.

In memory beside the model: the hidden states of the calibration set (one buffer, overwritten in place),
the Gram matrix of one input, and what a paused forward pass of a block holds.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Mapping
from time import perf_counter
from typing import Any, NamedTuple

import torch
from greenlet import GreenletExit, getcurrent, greenlet
from torch import Tensor, nn

from apt_core.families import Layer, prunable_layers, stand_ins
from apt_core.maths.hessian import LayerStats
from apt_core.models.load.weights import Weights, device_of
from apt_core.passes.arguments import Arguments, marked, on_device, read_embeddings, with_embeddings
from apt_core.passes.gradients import Condense, Minded, Places, measure
from apt_core.passes.shared_weights import Place, statistics_ahead


class _Reached(Exception):
    """The forward pass has come as far as it is needed."""


class Arrival(NamedTuple):
    """Every batch stands in front of this layer; its weight may now be changed."""

    layer: Layer
    stats: LayerStats


class HiddenStates:
    """The inputs of the current block for every calibration window.

    states: [windows, length, hidden] in the dtype of the model's residual stream, on the device of the block
    that they are in.
    arguments: for every block, the positional and keyword arguments that the decoder passes beside the
    hidden states (rotary tables, masks), captured once with one window: windows have equal length and no
    padding, so they hold for any batch.
    embeddings: the states as they enter the first block, where a block reads them again; None otherwise.
    dense: the same states in the dense model, when a method compares with them; None otherwise.
    minded: what the dense loss minds of every layer, when a method asks it; None otherwise.
    ahead: of weights that several blocks share, the statistics of their later uses.
    """

    def __init__(self, states: Tensor, arguments: list[Arguments], batch: int):
        self.states = states
        self.arguments = arguments
        self.batch = batch
        self.embeddings: Tensor | None = None
        self.dense: Tensor | None = None
        self.minded: Minded | None = None
        self.ahead: dict[Place, LayerStats] = {}
        self.forward_seconds = 0.0
        self.gradient_seconds = 0.0
        self.statistics_seconds = 0.0

    @classmethod
    @torch.no_grad()
    def at_first_block(
        cls, model: nn.Module, blocks: nn.ModuleList, windows: Tensor, batch: int
    ) -> HiddenStates:
        """windows: [windows, length] token ids on the model's device."""
        arguments, dtype = _block_arguments(model, blocks, windows[:1])
        states = None
        for start in range(0, len(windows), batch):
            entering = _entering_first_block(model, blocks[0], windows[start : start + batch])
            if states is None:
                states = entering.new_empty(len(windows), *entering.shape[1:], dtype=dtype)
            states[start : start + batch] = entering
        hidden = cls(states, arguments, batch)
        hidden.embeddings = (
            states.to(entering.dtype, copy=True) if any(map(read_embeddings, arguments)) else None
        )
        return hidden

    def keep_dense_stream(self) -> None:
        """From here on carry the dense model's hidden states beside the pruned model's."""
        self.dense = self.states.clone()

    def look_ahead(self, weights: Weights, uses: Mapping[Place, list[Layer]]) -> Iterator[None]:
        """Count what the dense model will hand to shared weights at later blocks when they are pruned."""
        passing = statistics_ahead(weights, uses, self.arguments, self.states, self.embeddings, self.batch)
        self.ahead = yield from self._timed(passing, "forward_seconds")

    def ask_the_loss(
        self,
        model: nn.Module,
        weights: Weights,
        layers: list[Layer],
        windows: Tensor,
        condense: Condense,
        places: Places | None = None,
    ) -> Iterator[None]:
        """Measure how the dense model's loss changes with what leaves each layer, on the first windows."""
        entering = self.states[: len(windows)]
        steps = measure(model, weights, layers, self.arguments, windows, entering, condense, places)
        self.minded = yield from self._timed(steps, "gradient_seconds")

    def _timed(self, steps: Generator[None, None, Any], seconds: str) -> Generator[None, None, Any]:
        """The same steps and their result, the time they take added to one of our clocks."""
        while True:
            start = perf_counter()
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            finally:
                setattr(self, seconds, getattr(self, seconds) + perf_counter() - start)
            yield None

    def _follow(self, block: nn.Module, index: int) -> Arguments:
        """Bring all states to the device of a block; returns its arguments, there as well."""
        device = device_of(block)
        self.states = self.states.to(device)
        self.dense = None if self.dense is None else self.dense.to(device)
        self.embeddings = None if self.embeddings is None else self.embeddings.to(device)
        return on_device(self.arguments[index], device)

    @torch.no_grad()
    def straight_through(self, block: nn.Module, index: int) -> Iterator[None]:
        """Take every window through `block` without a halt; yields after every batch."""
        arguments = self._follow(block, index)
        for start in range(0, len(self.states), self.batch):
            part = slice(start, start + self.batch)
            own = None if self.embeddings is None else self.embeddings[part]
            args, kwargs = with_embeddings(arguments, own)
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
        arguments = self._follow(block, index)
        twin = copy.deepcopy(block) if self.dense is not None else None  # before it is pruned or hooked
        twins = [] if twin is None else _counterparts(twin, index, layers)
        minded = {} if self.minded is None else self.minded.take(index)
        passes = [PausedPass(block, layers, arguments, self.states, self.batch, self.embeddings)]
        if twin is not None:
            passes.append(PausedPass(twin, twins, arguments, self.dense, self.batch, self.embeddings))
        try:
            for arrival in self._walk(*passes):
                if arrival is not None and (metric := minded.pop(arrival.layer.name, None)):
                    arrival = arrival._replace(stats=arrival.stats.minded_by(metric))
                yield arrival
        finally:
            for paused in passes:
                paused.close()

    def _walk(self, pruned: PausedPass, dense: PausedPass | None = None) -> Iterator[Arrival | None]:
        previous: dict[int, Tensor] = {}
        stats: LayerStats | None = None
        yield from self._advance([pruned] if dense is None else [pruned, dense], None)
        while (name := pruned.next_layer()) is not None:
            if dense is not None:
                yield from self._catch_up(dense, name)
            here = pruned.standing(name)
            if here.keys() != previous.keys() or any(here[n] is not previous[n] for n in here):
                stats = yield from self._statistics(name, here, dense)
                layer = pruned.layers[name]
                if later := self.ahead.pop((layer.block, name), None):
                    stats.include_(later)
            if dense is not None:
                # Counted, it need not wait: what it held here is free while the layer is solved.
                yield from self._advance([dense], name)
            yield Arrival(pruned.layers[name], stats)
            previous = here
            yield from self._advance([pruned], name)
        if dense is not None:
            yield from self._catch_up(dense, None)

    def _catch_up(self, dense: PausedPass, name: str | None) -> Iterator[None]:
        """Lead the dense pass past layers that no token of the pruned pass was sent to, up to `name` (None: out)."""
        while (behind := dense.next_layer()) is not None and (name is None or dense.is_before(behind, name)):
            yield from self._advance([dense], behind)

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
            if dense is not None and not dense.layers[name].routed:  # its router may send it other tokens
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
        arguments: Arguments,
        states: Tensor,
        batch: int,
        embeddings: Tensor | None = None,
    ):
        self.layers = {layer.name: layer for layer in layers}
        self._block = block
        self._arguments = arguments
        self._states = states
        self._embeddings = embeddings
        self._order = {layer.name: place for place, layer in enumerate(layers)}
        self._visited: set[str] = set()
        self._at: dict[int, tuple[str, Tensor]] = {}  # which layer each batch stands in front of, its input
        self._parts = [slice(start, start + batch) for start in range(0, len(states), batch)]
        self._passes = [greenlet(self._forward) for _ in self._parts]
        self._hooks = [
            *stand_ins(layers),
            *(layer.module.register_forward_pre_hook(self._halt(layer.name)) for layer in layers),
        ]

    def next_layer(self) -> str | None:
        """Batches differ only where a block branches (experts): then the earlier layer goes first."""
        return min((name for name, _ in self._at.values()), key=self._order.__getitem__, default=None)

    def is_before(self, one: str, other: str) -> bool:
        return self._order[one] < self._order[other]

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
        own = None if self._embeddings is None else self._embeddings[part]
        args, kwargs = with_embeddings(self._arguments, own)
        output = self._block(self._states[part], *args, **kwargs)
        self._states[part] = output[0] if isinstance(output, tuple) else output

    def _halt(self, name: str):
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if name not in self._visited:
                getcurrent().parent.switch((name, inputs[0]))

        return hook


def _counterparts(twin: nn.Module, index: int, layers: list[Layer]) -> list[Layer]:
    """The same layers of a copy of their block."""
    names = {layer.name for layer in layers}
    return [layer for layer in prunable_layers(twin, index, optional=True) if layer.name in names]


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
) -> tuple[list[Arguments], torch.dtype]:
    """What the decoder hands to each block beside the hidden states; blocks can differ (sliding windows).

    Also the dtype of the hidden states that reach the last block: some keep them in float32 (Mamba).
    """
    found: dict[int, Arguments] = {}
    states: list[Tensor] = []  # that enter the first block, and the newest
    hooks = []
    last = len(blocks) - 1

    def catcher(index: int):
        def catch(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            states[index > 0 :] = [args[0] if args else kwargs["hidden_states"]]
            rest = {key: value for key, value in kwargs.items() if key != "hidden_states"}
            found[index] = marked((tuple(args[1:]), rest), states[0])
            if index == last:
                raise _Reached

        return catch

    for index, block in enumerate(blocks):
        hooks.append(block.register_forward_pre_hook(catcher(index), with_kwargs=True))
    try:
        model(input_ids=window, use_cache=False)
    except _Reached:
        return [found[index] for index in range(len(blocks))], states[-1].dtype
    finally:
        for hook in hooks:
            hook.remove()
    raise RuntimeError("The model never called its last decoder block.")
