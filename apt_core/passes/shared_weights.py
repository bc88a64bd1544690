"""The inputs that a weight will meet at the depths that share it, collected before it is pruned at the first.

Zamba2 uses one transformer block at many depths. When its first use is pruned the later ones have not been
computed yet, so their inputs are taken from the dense model: one pass of the calibration set before everything.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import AbstractContextManager

from apt_core.families import Layer
from apt_core.maths.hessian import LayerStats
from apt_core.methods import LayerKey
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.entering import Entering
from apt_core.passes.runner import OpenBlock, Propagation, Runner
from apt_core.passes.statistics import InputStatistics


def collect(
    store: WeightStore, uses: Mapping[LayerKey, Iterable[Layer]], entering: Entering, batch: int
) -> Generator[None, None, dict[LayerKey, LayerStats]]:
    """Yields after every batch and block; returns the statistics of all later uses together.

    uses: where a weight is met first -> the layers that use it again. `entering` is left as it is.
    """
    counted: InputStatistics[LayerKey] = InputStatistics()
    at = [(later.block, first, later.module) for first, layers in uses.items() for later in layers]

    def counting(block: OpenBlock) -> AbstractContextManager[None]:
        return counted.adding({first: module for index, first, module in at if index == block.index})

    passing = Propagation(entering.states.clone(), batch, counting)
    last = max((index for index, *_ in at), default=-1)
    yield from Runner(store, entering).run(passing, range(last + 1))
    return counted.stats
