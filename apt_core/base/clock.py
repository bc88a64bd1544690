"""Where the seconds of a run go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Clock:
    """Seconds per stage; a stage can be entered many times.

    spared: seconds that a stage would have taken, had not another run done the same before.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.spared: dict[str, float] = {}
        self._start = perf_counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + perf_counter() - start

    def spare(self, stage: str, seconds: float) -> None:
        """Note what was measured of a stage when another run did it."""
        self.spared[stage] = self.spared.get(stage, 0.0) + seconds

    @property
    def total(self) -> float:
        return perf_counter() - self._start

    def rounded(self) -> dict[str, float]:
        """Seconds per stage, and in all, to the millisecond."""
        return {stage: round(spent, 3) for stage, spent in (self.seconds | {"total": self.total}).items()}
