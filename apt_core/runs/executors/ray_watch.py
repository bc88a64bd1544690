"""Whether the task of a run lives on its node, and what memory it holds there.

The worker process here lives and takes little memory however its task does. What the task says is a sign of life, and
names its memory now and then; while it does not it is looked at where it works, by a second, small task on the same
node. A look that is not answered counts as silence.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from apt_core.base.errors import OutOfMemory, PruneError, Silent
from apt_core.base.lazy import lazy
from apt_core.events import Event, Used
from apt_core.runs.executors import on_node
from apt_core.runs.executors.on_node import Begun, Life
from apt_core.runs.liveness import RunLimits, too_much_memory, too_silent

if TYPE_CHECKING:
    import ray
    from ray.util import scheduling_strategies
else:
    ray = lazy("ray")
    scheduling_strategies = lazy("ray.util.scheduling_strategies")

_EVERY_SECONDS = 30.0  # without a word of its memory: a look may have to start a process there
_END_SECONDS = 10.0


class Node(Protocol):
    """Where a task works, as far as it is asked about the task."""

    def ask(self, begun: Begun) -> Any:
        """Begin a look; returns what `answer` goes by."""

    def answer(self, asked: Any) -> Life | None:
        """What the look has found; None while it is under way. Raises whatever kept it from being done."""

    def end(self, begun: Begun) -> None:
        """Kill the process of the task."""


class RayNode:
    """Asked by tasks that take no core of the node."""

    def ask(self, begun: Begun) -> Any:
        return _beside(begun, on_node.look)

    def answer(self, asked: Any) -> Life | None:
        ready, _ = ray.wait([asked], timeout=0)
        return ray.get(ready[0]) if ready else None

    def end(self, begun: Begun) -> None:
        ray.wait([_beside(begun, on_node.end)], timeout=_END_SECONDS)


def _beside(begun: Begun, work: Callable[[Begun], Any]) -> Any:
    here = scheduling_strategies.NodeAffinitySchedulingStrategy(begun.node, soft=False)
    return _remote(work).options(num_cpus=0, max_retries=0, scheduling_strategy=here).remote(begun)


@cache
def _remote(work: Callable[[Begun], Any]) -> Any:
    """Made once: the cluster keeps every remote function that it is sent."""
    return ray.remote(work)


class Watch:
    """Looks at one task again and again. limits: of a run, on a machine with so many bytes of memory."""

    def __init__(
        self,
        limits: Callable[[int], RunLimits],
        node: Node | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._limits_on, self._node, self._clock = limits, node or RayNode(), clock
        self._begun: Begun | None = None
        self._limits = RunLimits()
        self._asked: Any = None
        self._asked_at = self._heard_at = 0.0
        self._life = Life(0, 0)

    def begin(self, begun: Begun) -> None:
        """The task has found a node and begun."""
        self._begun, self._limits = begun, self._limits_on(begun.memory_bytes)
        self._asked_at = self._heard_at = self._clock()

    def hear(self, event: Event) -> None:
        """The task has said something."""
        self._heard_at = self._clock()
        if isinstance(event, Used):  # as good as a look
            self._asked_at = self._heard_at
            self._life = self._life._replace(held_bytes=event.rss_bytes)

    def why_to_end(self) -> PruneError | None:
        """Why the task has to be ended now, None where it may go on. Cheap to ask; looks once in a while."""
        if self._begun is None:
            return None  # it waits for a node, as long as that takes
        self._look(self._begun)
        if said := too_silent(self._limits, self._clock() - self._heard_at):
            return Silent(said)
        said = too_much_memory(self._limits, self._life.held_bytes)
        return OutOfMemory(said) if said else None

    def end(self) -> None:
        """Kill the task; one that is stopped or hangs hears nothing else."""
        if self._begun is not None:
            self._node.end(self._begun)

    def _look(self, begun: Begun) -> None:
        if self._asked is not None:
            self._hear(self._asked)
        elif self._clock() - self._asked_at >= min(_EVERY_SECONDS, self._limits.silent_seconds / 3):
            self._asked, self._asked_at = self._node.ask(begun), self._clock()

    def _hear(self, asked: Any) -> None:
        try:
            life = self._node.answer(asked)
        except Exception:  # a dozen kinds: the node is lost, or has no memory for another process
            self._asked = None
            return
        if life is None:
            return
        self._asked = None
        if life.sign != self._life.sign:
            self._heard_at = self._clock()
        self._life = life
