"""Events of a search: its start, and every generation of its population. No torch."""

from __future__ import annotations

from typing import Literal

from apt_core.base.values import Frozen


class Candidate(Frozen):
    """A smaller model that was tried, and its perplexity on the held-out windows; None where that is not finite."""

    perplexity: float | None
    parameters: int  # weights in the linear layers of the blocks that stay
    blocks: int
    heads: int  # attention heads of each block
    channels: int  # of each MLP


class SearchBegan(Frozen):
    """What is searched. A run that goes on from another's population begins at a later generation."""

    kind: Literal["search_began"] = "search_began"
    generation: int  # that were done before: 0, or where the population was kept
    generations: int  # at most
    minutes: float  # at most
    population: int
    shapes: int  # depths and widths within the budget
    parameters: int  # weights in the linear layers of the dense model's blocks
    keep: float
    tolerance: float
    windows: int  # that are held out
    length: int
    dense: float | None  # perplexity of the dense model on them
    judge: str = "masked"  # or "compensated": how candidates are compared


class Generation(Frozen):
    """The candidates that go on after so many generations, the best first; 0 are those that a search begins with."""

    kind: Literal["generation"] = "generation"
    number: int
    tried: int  # candidates so far
    seconds: float  # of searching so far
    start: Candidate  # the uniform widths that the search begins with
    population: tuple[Candidate, ...]

    @property
    def best(self) -> Candidate:
        return self.population[0]
