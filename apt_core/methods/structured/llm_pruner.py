"""LLM-Pruner: coupled attention heads and MLP channels go (arXiv 2305.11627)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from apt_core.methods.structured.base import StructuredMethod

Importance = Literal["param_first", "param_second", "param_mix", "vectorize", "l1", "l2"]
OF_WEIGHTS_ALONE = ("l1", "l2")


class LLMPruner(StructuredMethod):
    """In every block the groups of lowest importance go, equally many in each, so that plain transformers loads it.

    A group: a key-value head with its query heads and their columns of the output projection, or a channel of the
    MLP. Importance, with g the gradient of the calibration loss and F the mean of its squares over windows:

        vectorize     |sum of W g| of each row or column, summed
        param_first   sum of |W g|
        param_second  sum of |W F W|
        param_mix     sum of |W g - W F W / 2|
        l1, l2        sum of |W|, of W^2
    """

    name: ClassVar[str] = "llm-pruner"
    title: ClassVar[str] = "LLM-Pruner"
    source: ClassVar[str] = "Ma et al. 2023, arXiv 2305.11627; equal widths in all blocks"
    summary: ClassVar[str] = (
        "Removes attention heads and MLP channels that the loss needs least, so the model is smaller and faster."
    )
    removes: ClassVar[str] = "attention heads and MLP channels"
    place: ClassVar[int] = 202

    importance: Importance = Field(
        default="param_first",
        title="Importance",
        description="of a group: by gradients of the loss (param_first, param_second, param_mix, vectorize) or by the "
        "size of its weights (l1, l2)",
    )
    structures: Literal["both", "channels"] = Field(
        default="both", title="What goes", description="heads and channels, or channels of the MLP alone"
    )
    compensate: bool = Field(
        default=False,
        title="Compensate",
        description="the output projections' remaining columns take over, by APT's closed form for one set of columns",
    )
    multiple: int = Field(
        default=8,
        ge=1,
        le=1024,
        title="Channels in multiples of",
        description="matrix kernels like some more than others",
    )
    dampening: float = Field(
        default=0.01,
        gt=0,
        le=1,
        title="Dampening",
        description="of the compensation: added to the diagonal, as a share of its mean",
    )

    @property
    def reads_text(self) -> bool:
        return self.takes_gradients or self.compensate

    @property
    def takes_gradients(self) -> bool:
        return self.importance not in OF_WEIGHTS_ALONE


def groups_kept(
    sparsity: float, weights: int, structures: Mapping[str, tuple[int, int]], multiple: int
) -> dict[str, int]:
    """Unit -> how many groups of every block stay, so that close to `sparsity` of its `weights` go.

    structures: unit -> (groups, weights that go with one). Heads go by the share itself, rounded; channels by what is
    then left to go, to the nearest multiple, or all of them, where there are more.
    Example: 0.2 of 3 key-value heads of 300,000 weights and 1,536 channels of 1,728 keeps 2 and a few channels more
    than eight tenths.
    """
    kept: dict[str, int] = {}
    to_go = sparsity * weights
    if "heads" in structures:
        groups, each = structures["heads"]
        kept["heads"] = max(1, groups - math.floor(sparsity * groups + 0.5))
        to_go -= (groups - kept["heads"]) * each
    groups, each = structures["channels"]
    left = groups - max(0.0, to_go) / each
    step = multiple if groups > multiple else 1
    below = max(step, step * math.floor(left / step))
    kept["channels"] = min(min(below + step, groups), below, key=lambda count: abs(count - left))
    return kept
