"""Gram matrices of the inputs of layers, added up by hooks while a block is called."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Generic, TypeVar

from torch import Tensor, nn

from apt_core.maths.hessian import LayerStats

Key = TypeVar("Key", bound=Hashable)


class InputStatistics(Generic[Key]):
    """Of many layers at once; layers that are handed the same tensor (q, k and v) share theirs.

    stats: by the layer's key. seconds: spent in the hooks.
    """

    def __init__(self, compare: bool = False) -> None:
        """compare: are the inputs of the newest call kept until those of the dense model come?"""
        self.stats: dict[Key, LayerStats] = {}
        self.seconds = 0.0
        self._compare = compare
        self._newest: tuple[Tensor, LayerStats] | None = None
        self._waiting: dict[Key, Tensor] = {}

    @contextmanager
    def adding(self, modules: Mapping[Key, nn.Module]) -> Iterator[None]:
        """Inside, every input of these modules is counted."""
        with self._hooked(modules, self._add):
            yield
        self._newest = None

    @contextmanager
    def comparing(self, modules: Mapping[Key, nn.Module]) -> Iterator[None]:
        """Inside, the modules get the dense model's inputs for the windows that were counted last."""
        with self._hooked(modules, self._add_drift):
            yield
        self._waiting.clear()

    @contextmanager
    def _hooked(
        self, modules: Mapping[Key, nn.Module], hear: Callable[[Key, Tensor], None]
    ) -> Iterator[None]:
        def hook(key: Key) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
            def called(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                start = perf_counter()
                hear(key, inputs[0])
                self.seconds += perf_counter() - start

            return called

        hooks = [module.register_forward_pre_hook(hook(key)) for key, module in modules.items()]
        try:
            yield
        finally:
            for each in hooks:
                each.remove()

    def _add(self, key: Key, inputs: Tensor) -> None:
        if self._newest is not None and self._newest[0] is inputs:
            self.stats[key] = self._newest[1]
            return
        stats = self.stats.setdefault(key, LayerStats.empty(inputs.shape[-1], inputs.device))
        stats.add_(inputs)
        self._newest = inputs, stats
        if self._compare:
            self._waiting[key] = inputs

    def _add_drift(self, key: Key, dense: Tensor) -> None:
        """Once for all layers that share their statistics."""
        if (inputs := self._waiting.pop(key, None)) is not None:
            self.stats[key].add_drift_(inputs, dense)
