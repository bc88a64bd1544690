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
        self._earlier = 0.0
        self._open: dict[str, float] = {}  # stages that are being measured, and since when
        self._start = perf_counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        self._open[stage] = start = perf_counter()
        try:
            yield
        finally:
            self._open.pop(stage, None)
            self.seconds[stage] = self.seconds.get(stage, 0.0) + perf_counter() - start

    def spare(self, stage: str, seconds: float) -> None:
        """Note what was measured of a stage when another run did it."""
        self.spared[stage] = self.spared.get(stage, 0.0) + seconds

    def add_earlier(self, seconds: dict[str, float]) -> None:
        """Take over what the earlier parts of the same run took, as `rounded` gave it."""
        for stage, spent in seconds.items():
            if stage == "total":
                self._earlier += spent
            else:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + spent

    @property
    def total(self) -> float:
        return self._earlier + perf_counter() - self._start

    def rounded(self) -> dict[str, float]:
        """Seconds per stage, those that are not over included, and in all, to the millisecond."""
        now = perf_counter()
        open_ones = {stage: self.seconds.get(stage, 0.0) + now - since for stage, since in self._open.items()}
        return {stage: round(s, 3) for stage, s in (self.seconds | open_ones | {"total": self.total}).items()}
