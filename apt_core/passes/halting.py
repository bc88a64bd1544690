"""A walk that halts in front of each layer: every block is computed once, every layer sees pruned inputs.

In memory beside the model: the hidden states of the calibration set (one buffer, overwritten in place),
the Gram matrix of one input, and what a paused forward pass of a block holds.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from greenlet import GreenletExit, getcurrent, greenlet
from torch import Tensor, nn

from apt_core.families import Layer, module_proxies, prunable_layers
from apt_core.maths.hessian import LayerStats
from apt_core.passes.layer_walk import Arrival, LayerWalk, WalkName
from apt_core.passes.runner import OpenBlock, slices


class Halting(LayerWalk):
    """All batches are led up to the first layer and paused there.

    Each is a greenlet: an ordinary forward pass that can be left and entered again. The Gram matrix of what stands
    in front of the layer is handed over; whoever iterates prunes the layer; then all batches go on through the
    pruned layer to the next one. So every layer is pruned with the inputs that the pruned model really gives it, and
    each block is computed once, not twice. Layers that read the same tensor (q, k, v; gate, up) are found by the
    tensor's identity and share one Gram matrix.
    """

    name: ClassVar[WalkName] = "halting"

    @torch.no_grad()
    def _arrivals(self, block: OpenBlock, layers: list[Layer]) -> Generator[Arrival | None, None, None]:
        # the copy first: before the block is pruned or hooked
        twin = None if self.dense is None else replace(block, module=copy.deepcopy(block.module))
        passes = [PausedPass(block, layers, self.states, self._batch)]
        if twin is not None and self.dense is not None:
            passes.append(PausedPass(twin, _counterparts(twin, layers), self.dense, self._batch))
        try:
            yield from self._walk(*passes)
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
                self._include_later_uses(pruned.layers[name], stats)
            assert stats is not None  # `previous` is empty at first
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
        """Lead all passes on from layer `name` (None: from the block's input)."""
        for paused in walking:
            steps = paused.leave(name)
            while True:
                with self._clock("forward"):
                    more = next(steps, None)
                if more is None:
                    break
                yield None

    def _statistics(
        self, name: str, here: dict[int, Tensor], dense: PausedPass | None
    ) -> Generator[None, None, LayerStats]:
        stats: LayerStats | None = None
        for number, tensor in here.items():
            with self._clock("statistics"):
                stats = stats or LayerStats.empty(tensor.shape[-1], tensor.device)
                stats.add_(tensor)
                if dense is not None and not dense.layers[name].routed:  # its router may send it other tokens
                    stats.add_drift_(tensor, dense.standing(name)[number])
            yield None
        assert stats is not None
        return stats


class PausedPass:
    """The forward passes of all batches through one block, each halted in front of a linear layer."""

    def __init__(self, block: OpenBlock, layers: list[Layer], states: Tensor, batch: int):
        self.layers = {layer.name: layer for layer in layers}
        self._block = block
        self._states = states
        self._order = {layer.name: place for place, layer in enumerate(layers)}
        self._visited: set[str] = set()
        self._at: dict[int, tuple[str, Tensor]] = {}  # which layer each batch stands in front of, its input
        self._parts = slices(len(states), batch)
        self._passes = [greenlet(self._forward) for _ in self._parts]
        self._hooks = [
            *module_proxies(layers),
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
        """Lead every batch that stands at `name` (None: at the block's input) to its next halt."""
        if name is None:
            waiting: Sequence[int] = range(len(self._passes))
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
        self._states[part] = self._block(self._states[part], part)

    def _halt(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if name not in self._visited:
                getcurrent().parent.switch((name, inputs[0]))

        return hook


def _counterparts(twin: OpenBlock, layers: list[Layer]) -> list[Layer]:
    """The same layers of a copy of their block."""
    names = {layer.name for layer in layers}
    return [layer for layer in prunable_layers(twin.module, twin.index, optional=True) if layer.name in names]
