"""A look at the dense model, block by block, before anything is removed: weights, and the strength of inputs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from apt_core.families import Layer
from apt_core.methods import LayerKey
from apt_core.methods.component import SeenLayer
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.entering import Entering
from apt_core.passes.runner import OpenBlock, Runner, slices

Scores = Callable[[Mapping[str, SeenLayer]], dict[str, float]]


def scores_of(
    store: WeightStore, layers: list[Layer], entering: Entering | None, batch: int, scores: Scores
) -> Generator[None, None, dict[LayerKey, float]]:
    """Yields after every batch of windows and every block; returns what `scores` says of each layer.

    entering: the calibration windows, which go through the dense blocks; it is left as it is. None where the inputs do
    not matter: no window is read then.
    """
    look = _Look(layers, entering.states.clone() if entering else None, batch, scores)
    if entering:
        yield from Runner(store, entering).run(look)
        return look.found
    for index in range(len(store.blocks)):
        with store.block(index):
            look.see(index, {})
        yield None
    return look.found


def looks_of(blocks: int, entering: Entering | None, batch: int) -> int:
    """How often `scores_of` yields."""
    return blocks * (1 + (len(slices(len(entering.states), batch)) if entering else 0))


class _Look:
    """A visitor; states: [windows, length, hidden], None where the inputs do not matter."""

    def __init__(self, layers: list[Layer], states: Tensor | None, batch: int, scores: Scores):
        self.found: dict[LayerKey, float] = {}
        self._layers = layers
        self._states = states
        self._batch = batch
        self._scores = scores

    def to(self, device: torch.device) -> None:
        self._states = None if self._states is None else self._states.to(device)

    @torch.no_grad()
    def visit(self, block: OpenBlock) -> Generator[None, None, None]:
        assert self._states is not None
        energies: dict[str, Tensor] = {}
        with _adding_squares(self._of_block(block.index), energies):
            for part in slices(len(self._states), self._batch):
                self._states[part] = block(self._states[part], part)
                yield None
        self.see(block.index, energies)
        yield None

    @torch.no_grad()
    def see(self, index: int, energies: Mapping[str, Tensor]) -> None:
        """Ask for the scores of a block, which is open."""
        seen = {
            layer.name: SeenLayer(layer.matrix.float(), _of(layer, energies, self._states))
            for layer in self._of_block(index)
        }
        self.found |= {(index, name): score for name, score in self._scores(seen).items()}

    def _of_block(self, index: int) -> list[Layer]:
        return [layer for layer in self._layers if layer.block == index]


def _of(layer: Layer, energies: Mapping[str, Tensor], states: Tensor | None) -> Tensor | None:
    """Zeros for an expert that no token reached."""
    if states is None:
        return None
    found = energies.get(layer.name)
    return torch.zeros(layer.in_features, device=layer.matrix.device) if found is None else found


@contextmanager
def _adding_squares(layers: list[Layer], energies: dict[str, Tensor]) -> Iterator[None]:
    """Inside, the squares of every input of these layers are added up under the layer's name."""

    def hook(name: str) -> Callable[[torch.nn.Module, tuple[Tensor, ...]], None]:
        def called(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
            squares = inputs[0].reshape(-1, inputs[0].shape[-1]).float().square().sum(0)
            energies[name] = energies[name] + squares if name in energies else squares

        return called

    hooks = [layer.module.register_forward_pre_hook(hook(layer.name)) for layer in layers]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()
