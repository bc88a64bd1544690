"""Layer pruning: whole decoder blocks go (arXiv 2411.15558; ShortGPT, arXiv 2403.03853)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from apt_core.base.errors import BadOption
from apt_core.methods.structured.base import Passes, StructuredMethod

Criterion = Literal["influence", "last", "perplexity", "reconstruction"]


class Depth(StructuredMethod):
    """The round(sparsity x blocks) blocks of the lowest score go at once; the model has fewer blocks afterwards.

    influence: Block Influence, 1 - mean cosine of the hidden states that enter and leave a block.
    last: the blocks at the end.
    perplexity: of the dense model without this block alone.
    reconstruction: what a least-squares map, folded into the last projection of the block before, cannot make up for;
        these maps are folded in.
    """

    name: ClassVar[str] = "depth"
    title: ClassVar[str] = "Depth"
    source: ClassVar[str] = "Lu et al. 2024, arXiv 2411.15558; Men et al. 2024 (ShortGPT), arXiv 2403.03853"
    summary: ClassVar[str] = (
        "Removes whole blocks, so the model is smaller and computes less; much worse until it is trained again."
    )
    removes: ClassVar[str] = "whole blocks"
    takes: ClassVar[str] = (
        "a pass over the text; by perplexity one for each block, by reconstruction a fit for each, by last none"
    )
    leaves: ClassVar[str] = "plain transformers loads the rest"
    place: ClassVar[int] = 201

    criterion: Criterion = Field(
        default="influence",
        title="Which blocks",
        description="influence: those that turn hidden states least; last: those at the end; perplexity: those whose "
        "absence costs least; reconstruction: those that a linear map stands in for best, which is folded in",
    )

    @property
    def reads_text(self) -> bool:
        return self.criterion != "last"

    def passes(self, blocks: int) -> Passes:
        """perplexity: the first windows through what is left of the model without each block."""
        whole, first = {
            "influence": (1, 0),
            "last": (0, 0),
            "perplexity": (0, blocks / 2),
            "reconstruction": (3, 1),
        }[self.criterion]
        return Passes(whole, first)

    def check_removes(self, sparsity: float, blocks: int) -> None:
        blocks_removed(sparsity, blocks)


def blocks_removed(sparsity: float, blocks: int) -> int:
    """The share of all blocks, rounded to whole ones. Raises BadOption where none or all would go."""
    count = math.floor(sparsity * blocks + 0.5)
    if count < 1:
        raise BadOption(
            f"A sparsity of {sparsity:g} is less than half of one of {blocks} blocks, so none would go; choose at "
            f"least {math.ceil(500 / blocks) / 1000:g}."
        )
    if count >= blocks:
        raise BadOption(
            f"A sparsity of {sparsity:g} would leave none of {blocks} blocks; choose less than {1 - 0.5 / blocks:.3g}."
        )
    return count
