"""Evolutionary search over depth, heads and MLP width (Search for Efficient LLMs, arXiv 2409.17372)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from apt_core.methods.labelled import Labelled
from apt_core.methods.structured.llm_pruner import OF_WEIGHTS_ALONE, Dampening, Importance, Multiple


class Evolution(Labelled):
    """A candidate says which blocks stay, and in each block which heads and which MLP channels; all have the budget's
    number of weights. The first ones keep what is most important. Those that come next are mutations of the best and
    crossings of two of them; the best of old and new go on.

    Every block of a candidate is equally wide, so that plain transformers loads the result. With 500 candidates and 30
    generations the paper's search is far longer; proportions are its own.
    """

    name: ClassVar[str] = "search"
    title: ClassVar[str] = "Search"
    source: ClassVar[str] = "Shen et al. 2024, arXiv 2409.17372; equal widths in all blocks"
    summary: ClassVar[str] = (
        "Tries many smaller models of one size, keeps what does best, and makes that one: blocks, heads and channels."
    )
    removes: ClassVar[str] = "whole blocks, attention heads and MLP channels"
    takes: ClassVar[str] = "as many minutes as it is given"
    leaves: ClassVar[str] = "plain transformers loads the rest"
    reads_text: ClassVar[bool] = True
    couples: ClassVar[bool] = True  # heads and channels, which a model must have

    population: int = Field(
        default=12,
        ge=2,
        le=500,
        title="Population",
        description="candidates that go on to the next generation",
    )
    width_mutation: float = Field(
        default=0.2,
        ge=0,
        le=1,
        title="Width mutation",
        description="chance that a block's heads or channels change",
    )
    depth_mutation: float = Field(
        default=0.4, ge=0, le=1, title="Depth mutation", description="chance that the blocks that stay change"
    )
    similarity: float = Field(
        default=0.95,
        ge=0,
        le=1,
        title="Similarity",
        description="share of a set of heads, channels or blocks that a mutation leaves as it was",
    )
    tries: int = Field(
        default=10,
        ge=1,
        le=1000,
        title="Tries",
        description="draws of a mutation, after which nothing changes",
    )
    draws: Literal["importance", "uniform"] = Field(
        default="importance",
        title="Draws",
        description="importance: important heads and channels are drawn more often; uniform: all alike, as published",
    )
    judge: Literal["masked", "compensated"] = Field(
        default="compensated",
        title="Fitness",
        description="compensated: their output projections make up for what goes, as in the model that is made; "
        "masked: what goes is zero, and nothing makes up for it",
    )
    importance: Importance = Field(
        default="param_first",
        title="Importance",
        description="that the first candidates go by, as of LLM-Pruner",
    )
    multiple: Multiple = 8
    tolerance: float = Field(
        default=0.01,
        gt=0,
        le=0.2,
        title="Tolerance",
        description="how far the share of the weights that stay may be from the budget",
    )
    dampening: Dampening = 0.01

    @property
    def takes_gradients(self) -> bool:
        return self.importance not in OF_WEIGHTS_ALONE

    @property
    def mutations(self) -> int:
        """New candidates of a generation that are mutations: 350 for 500, as published."""
        return max(1, round(0.7 * self.population))

    @property
    def crossings(self) -> int:
        """New candidates of a generation that are crossed of two: 100 for 500, as published."""
        return max(1, round(0.2 * self.population))

    @property
    def parents(self) -> int:
        """Of these, the best, new candidates are made: 300 of 500, as published."""
        return max(2, round(0.6 * self.population))
