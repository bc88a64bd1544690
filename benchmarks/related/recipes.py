"""How the models of a claim are made, in the words of the command line."""

from __future__ import annotations

from typing import NamedTuple


class Allocated(NamedTuple):
    """A run of `benchmarks.accuracy`, kept with those: its settings in brackets behind the method."""

    method: str
    allocation: str
    pattern: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.allocation} {self.pattern}"


class Pruned(NamedTuple):
    """Any other run of `prune`."""

    method: str
    pattern: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.pattern}"


class Recovered(NamedTuple):
    """What `recover` makes of a pruned model."""

    start: Pruned
    method: str
    steps: int = 100
    batch: int = 2
    length: int = 128

    @property
    def name(self) -> str:
        return f"{self.start.name}, then {self.method}: {self.steps} steps of {self.batch} x {self.length} tokens"


class Searched(NamedTuple):
    """What `search` finds. judge: candidates are compared once they are compensated, or as they are masked."""

    keep: float
    minutes: float
    judge: str = "compensated"

    @property
    def name(self) -> str:
        return f"search keep {self.keep:g}, {self.minutes:g} minutes, {self.judge} candidates"


Recipe = Allocated | Pruned | Recovered | Searched
