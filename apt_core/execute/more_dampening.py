"""What cannot be factorised is tried with ten times the dampening, and a warning says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from apt_core.base.errors import NotPositiveDefinite
from apt_core.events import Warned
from apt_core.families import Layer

_MOST = 1.0
Solved = TypeVar("Solved")


def with_dampening(
    solve: Callable[[float], Solved], dampening: float, layer: Layer
) -> tuple[Solved, list[Warned]]:
    """What `solve` gives at the first dampening that it can be factorised at; raises NotPositiveDefinite above 1."""
    used = dampening
    while True:
        try:
            solved = solve(used)
            break
        except NotPositiveDefinite:
            if used * 10 > _MOST:
                raise
            used *= 10
    name = f"block {layer.block} {layer.name}"
    said = f"{name}: the statistics could not be factorised at dampening {dampening:g}; used {used:g}."
    return solved, [Warned(message=said, layer=name)] if used > dampening else []
