"""The inputs that a weight will meet at the depths that share it, looked at before it is pruned at the first.

Zamba2 uses one transformer block at many depths. When its first use is pruned the later ones have not been
computed yet, so their inputs are taken from the dense model: one pass of the calibration set ahead of everything.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from apt_core.families import Layer
from apt_core.maths.hessian import LayerStats
from apt_core.models.load.weights import Weights
from apt_core.passes.arguments import Arguments, with_embeddings

Place = tuple[int, str]  # block and name of the layer where a weight is met first


@torch.no_grad()
def statistics_ahead(
    weights: Weights,
    uses: Mapping[Place, Iterable[Layer]],
    arguments: list[Arguments],
    states: Tensor,
    embeddings: Tensor | None,
    batch: int,
) -> Generator[None, None, dict[Place, LayerStats]]:
    """Yields after every batch and block; returns the statistics of all later uses together.

    uses: where a weight is met first -> the layers that use it again. states: what enters the first block; it is
    left as it is.
    """
    heard = _Heard()
    at = {(later.block, later.name): first for first, layers in uses.items() for later in layers}
    states = states.clone()
    for index in range(max((block for block, _ in at), default=-1) + 1):
        here = {layer.name: layer for layers in uses.values() for layer in layers if layer.block == index}
        with weights.block(index) as block:
            for start in range(0, len(states), batch):
                part = slice(start, start + batch)
                own = None if embeddings is None else embeddings[part]
                positional, named = with_embeddings(arguments[index], own)
                with heard.listening({at[index, name]: layer.module for name, layer in here.items()}):
                    output = block(states[part], *positional, **named)
                states[part] = output[0] if isinstance(output, tuple) else output
                yield None
    return heard.stats


class _Heard:
    """Statistics of inputs, added up; layers that are handed the same tensor (q, k and v) share theirs."""

    def __init__(self) -> None:
        self.stats: dict[Place, LayerStats] = {}
        self._newest: tuple[Tensor, LayerStats] | None = None

    @contextmanager
    def listening(self, modules: Mapping[Place, nn.Module]) -> Iterator[None]:
        hooks = [
            module.register_forward_pre_hook(lambda _, inputs, place=place: self._hear(place, inputs[0]))
            for place, module in modules.items()
        ]
        try:
            yield
        finally:
            self._newest = None
            for hook in hooks:
                hook.remove()

    def _hear(self, place: Place, tensor: Tensor) -> None:
        if self._newest is not None and self._newest[0] is tensor:
            self.stats[place] = self._newest[1]
            return
        stats = self.stats.setdefault(place, LayerStats.empty(tensor.shape[-1], tensor.device))
        stats.add_(tensor)
        self._newest = tensor, stats
