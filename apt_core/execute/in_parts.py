"""A pruning that may stop between two blocks and be resumed by another process, with the same result.

Each part opens the dense model, brings its blocks to where the last part left them and takes the hidden states from
there; what was asked of the dense model before the first block is read again, or asked again where it was not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from apt_core.base.clock import Clock
from apt_core.events import Event, LayerPruned, Paused, Resumed
from apt_core.execute import pruning_state
from apt_core.execute.pruning_state import PruningState
from apt_core.jobs import Prune
from apt_core.models.load.weight_store import WeightStore
from apt_core.passes.layer_walk import LayerWalk
from apt_core.passes.runner import OpenBlock, Runner, Visitor


class InParts:
    """One part of a pruning. removed: weights, in this part and those before; paused: whether it was left."""

    def __init__(self, job: Prune, folder: Path, store: WeightStore, pause: Callable[[], bool]):
        self.removed = 0
        self.paused = False
        self._job = job
        self._folder = folder
        self._store = store
        self._pause = pause
        self._changed: list[tuple[str, ...]] = []

    def prune(self, runner: Runner, pruner: Visitor[Event], walk: LayerWalk, clock: Clock) -> Iterator[Event]:
        """From where the last part ended to the last block, or until it is time to pause; at least one block."""
        begun, total = self._go_on(walk, clock), len(self._store.blocks)
        if begun:
            yield Resumed(done=begun, total=total)
        for index in range(begun, total):
            for event in runner.run(pruner, [index]):
                self.removed += event.removed if isinstance(event, LayerPruned) else 0
                yield event
            self.paused = self._pause()
            if self.paused or index + 1 == total:  # measuring what was made may well be a part of its own
                self._keep(walk, clock)
            if self.paused:
                yield Paused(done=index + 1, total=total)
                return

    def add(self, block: OpenBlock, changed: set[str]) -> None:
        """A block has been pruned. changed: the names of its parameters that were."""
        names = tuple(sorted(changed))
        pruning_state.keep_block(self._folder, block.index, block.module, names)
        self._changed.append(names)

    def _go_on(self, walk: LayerWalk, clock: Clock) -> int:
        """How many blocks are pruned already, and now so in the model."""
        if (known := pruning_state.recall(self._folder, self._job)) is None:
            return 0
        state, tensors = known
        pruning_state.restore(self._folder, state, self._store)
        walk.states = tensors["states"]
        walk.dense = tensors.get("dense")
        self.removed, self._changed = state.removed, list(state.changed)
        clock.add_earlier(state.seconds)
        return state.blocks

    def _keep(self, walk: LayerWalk, clock: Clock) -> None:
        state = PruningState(
            asked=pruning_state.asked(self._job),
            blocks=len(self._changed),
            removed=self.removed,
            changed=tuple(self._changed),
            seconds=clock.rounded(),
        )
        pruning_state.keep(self._folder, state, walk.states, walk.dense)
