"""Linear maps that stand in for removed blocks, folded into the last projection of the block before.

With A [in, tokens] the inputs of that projection and R [hidden, tokens] what is missing from the hidden states behind
the gap, the update of its weight is the ridge regression

    dW = R A^T (A A^T + lambda I)^-1,

which is the least-squares map, drawn towards removing the blocks and doing nothing else. Zeros that an earlier run made
stay zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from apt_core.base.errors import BadInput
from apt_core.events import Folded
from apt_core.families import Layer
from apt_core.maths.least_squares import Regression
from apt_core.maths.zeros import not_zeroed
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.entering import Entering
from apt_core.passes.runner import OpenBlock, Propagation, Runner, slices

_AGREES = 0.03  # relative, of what a change at the projection does to what leaves the block


class Writers:
    """The last projection of every block, whose output goes into the hidden states times a factor."""

    def __init__(self, layers: list[Layer]):
        self._last = {layer.block: layer for layer in layers}  # a token meets them in order

    def of(self, block: int) -> Layer:
        return self._last[block]

    @torch.no_grad()
    def factor(self, block: OpenBlock, states: Tensor) -> float:
        """What one added to the projection's output adds to the hidden states.

        Raises BadInput where that is not one number for all of them, so that no map can be folded in.
        """
        part, layer = slice(0, 1), self.of(block.index)
        before = block(states[part], part).float()
        scale = float(before.abs().max()) or 1.0  # so that rounding to bfloat16 stays below the tolerance
        with _adding(layer, scale):
            gained = (block(states[part], part).float() - before) / scale
        factor = float(gained.mean())
        if layer.routed or float((gained - factor).abs().max()) > _AGREES * abs(factor) or factor == 0:
            raise BadInput(
                "What leaves a block of this model is normalised or routed before it is added up, so no linear map can "
                "be folded in; choose another criterion than reconstruction."
            )
        return factor


@contextmanager
def _adding(layer: Layer, constant: float) -> Iterator[None]:
    hook = layer.module.register_forward_hook(lambda _, __, output: output + constant)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _catching(layer: Layer) -> Iterator[list[Tensor]]:
    """The inputs [windows, length, in] of the layer's calls."""
    caught: list[Tensor] = []
    hook = layer.module.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    try:
        yield caught
    finally:
        hook.remove()


def unexplained(
    store: WeightStore, writers: Writers, entering: Entering, batch: int, dampening: float
) -> Generator[None, None, list[float | None]]:
    """For each block, the part of what leaves it that no map folded into the block before makes up for.

    ||R - dW A||^2 / ||X||^2 in the dense model, R what the block adds and X what leaves it; None for the first block.
    """
    look = _Unexplained(writers, entering.states.clone(), batch, dampening)
    yield from Runner(store, entering).run(look)
    return look.found


class _Unexplained:
    """A visitor; states: [windows, length, hidden]."""

    def __init__(self, writers: Writers, states: Tensor, batch: int, dampening: float):
        self.found: list[float | None] = []
        self._writers, self._states, self._batch, self._dampening = writers, states, batch, dampening
        self._inputs: list[Tensor] = []  # of the projection of the block before, batch by batch

    def to(self, device: torch.device) -> None:
        self._states = self._states.to(device)

    @torch.no_grad()
    def visit(self, block: OpenBlock) -> Generator[None, None, None]:
        if block.index == 0:
            self._writers.factor(block, self._states)
        regression, energy, inputs = Regression(), 0.0, list[Tensor]()
        for number, part in enumerate(slices(len(self._states), self._batch)):
            with _catching(self._writers.of(block.index)) as caught:
                leaving = block(self._states[part], part)
            if self._inputs:
                regression.add(
                    self._inputs[number].to(leaving.device), leaving.float() - self._states[part].float()
                )
            energy += float(leaving.float().square().sum())
            self._states[part] = leaving
            inputs.append(caught[0])
            yield None
        solved = regression.solve(self._dampening) if self._inputs else None
        self.found.append(None if solved is None else solved.left / max(energy, 1e-30))
        self._inputs = inputs


def fold_maps(
    store: WeightStore,
    writers: Writers,
    entering: Entering,
    batch: int,
    kept: tuple[int, ...],
    dampening: float,
    rounded: Callable[[Tensor], Tensor],
) -> Generator[Folded | None, None, None]:
    """Change and commit the last projection of each block that stays in front of removed ones.

    What enters comes from the model without the removed blocks; what is aimed at are the dense model's hidden states
    behind the gap, so that earlier drift is made up for as well. rounded: to the type of the checkpoint.
    """
    runner, count = Runner(store, entering), len(store.blocks)
    dense, pruned = (Propagation(entering.states.clone(), batch) for _ in range(2))
    for place, index in enumerate(kept):
        behind = kept[place + 1] if place + 1 < len(kept) else count
        for _ in runner.run(dense, range(index, behind)):
            yield None
        if behind == index + 1:
            yield from runner.run(pruned, [index])
        else:
            fold = _Fold(store, writers, pruned.states, dense.states, batch, dampening, rounded)
            yield from runner.run(fold, [index])
            pruned.states = fold.states


class _Fold:
    """A visitor of one block; states are overwritten by what leaves it, aims are what is to leave it."""

    def __init__(
        self,
        store: WeightStore,
        writers: Writers,
        states: Tensor,
        aims: Tensor,
        batch: int,
        dampening: float,
        rounded: Callable[[Tensor], Tensor],
    ):
        self.states = states
        self._store, self._writers, self._aims = store, writers, aims
        self._batch, self._dampening, self._rounded = batch, dampening, rounded

    def to(self, device: torch.device) -> None:
        self.states, self._aims = self.states.to(device), self._aims.to(device)

    @torch.no_grad()
    def visit(self, block: OpenBlock) -> Generator[Folded | None, None, None]:
        layer, regression = self._writers.of(block.index), Regression()
        factor = self._writers.factor(block, self.states)
        for part in slices(len(self.states), self._batch):
            with _catching(layer) as caught:
                leaving = block(self.states[part], part)
            regression.add(caught[0], (self._aims[part].float() - leaving.float()) / factor)
            yield None
        solved = regression.solve(self._dampening, not_zeroed(layer.matrix))
        layer.write_(self._rounded(layer.matrix.float() + solved.weight))
        self._store.commit(
            block.index, {name for name, one in block.module.named_parameters() if one is layer.parameter}
        )
        for part in slices(len(self.states), self._batch):
            self.states[part] = block(self.states[part], part)
            yield None
        yield Folded(block=block.index, left=solved.left / max(regression.energy, 1e-30))
