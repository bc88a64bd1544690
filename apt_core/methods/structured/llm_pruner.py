"""LLM-Pruner: coupled attention heads and MLP channels go (arXiv 2305.11627)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from apt_core.base.errors import BadOption
from apt_core.methods.structured.base import THERE_AND_BACK, Passes, StructuredMethod

Importance = Literal["param_first", "param_second", "param_mix", "vectorize", "l1", "l2"]
WidthsOf = Literal["uniform", "middle", "global"]
Multiple = Annotated[
    int,
    Field(
        ge=1,
        le=1024,
        title="Channels in multiples of",
        description="matrix kernels like some more than others",
    ),
]
Dampening = Annotated[
    float,
    Field(
        gt=0,
        le=1,
        title="Dampening",
        description="of the compensation: added to the diagonal, as a share of its mean",
    ),
]
OF_WEIGHTS_ALONE = ("l1", "l2")
BY_SIZE = -1
_MOST = 0.95  # of a block that is pruned


class Groups(NamedTuple):
    """The alike groups of a block: how many, and the weights that go with one."""

    number: int
    weights: int


class LLMPruner(StructuredMethod):
    """The groups of lowest importance go.

    uniform: equally many in every block, so that plain transformers loads what is left.
    middle: equally many in the blocks from start_block up to end_block; the others stay whole, as the paper has it.
    global: of these blocks together, heads and channels in one list, as in the authors' `--global_pruning`.

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
    source: ClassVar[str] = "Ma et al. 2023, arXiv 2305.11627"
    summary: ClassVar[str] = (
        "Removes attention heads and MLP channels that the loss needs least, so the model is smaller and computes less."
    )
    removes: ClassVar[str] = "attention heads and MLP channels"
    takes: ClassVar[str] = (
        "the text forwards and backwards, for gradients; by l1 and l2 none; another pass to compensate"
    )
    leaves: ClassVar[str] = (
        "with widths=uniform plain transformers loads the rest; with middle and global this program alone does, and "
        "llama.cpp as GGUF"
    )
    place: ClassVar[int] = 202
    couples: ClassVar[bool] = True

    importance: Importance = Field(
        default="param_first",
        title="Importance",
        description="of a group: by gradients of the loss (param_first, param_second, param_mix, vectorize) or by the "
        "size of its weights (l1, l2)",
    )
    structures: Literal["both", "channels"] = Field(
        default="both", title="What goes", description="heads and channels, or channels of the MLP alone"
    )
    widths: WidthsOf = Field(
        default="uniform",
        title="Widths",
        description="uniform: alike in all blocks, so that plain transformers loads the model; middle: alike from the "
        "first to the last pruned block, the others stay whole; global: ranked over these blocks together. The last "
        "two are loaded by this program and, as GGUF, by llama.cpp alone",
    )
    start_block: int = Field(
        default=BY_SIZE,
        ge=BY_SIZE,
        le=1000,
        title="First pruned block",
        description="of widths that differ; -1 keeps an eighth of the blocks in front",
    )
    end_block: int = Field(
        default=BY_SIZE,
        ge=BY_SIZE,
        le=1000,
        title="First kept block behind",
        description="of widths that differ; -1 keeps a sixteenth of the blocks at the end",
    )
    compensate: bool = Field(
        default=False,
        title="Compensate",
        description="the output projections' remaining columns take over, by APT's closed form for one set of columns",
    )
    multiple: Multiple = 8
    dampening: Dampening = 0.01

    @model_validator(mode="after")
    def _range_where_widths_differ(self) -> LLMPruner:
        if self.widths == "uniform" and (self.start_block, self.end_block) != (BY_SIZE, BY_SIZE):
            raise ValueError(
                "uniform widths are those of every block, so there is no start_block and no end_block; choose "
                "widths=middle or widths=global, or leave them at -1."
            )
        return self

    @property
    def uneven(self) -> bool:
        """Whether blocks may differ, so that transformers alone cannot load what is left."""
        return self.widths != "uniform"

    @property
    def reads_text(self) -> bool:
        return self.takes_gradients or self.compensate

    @property
    def takes_gradients(self) -> bool:
        return self.importance not in OF_WEIGHTS_ALONE

    def passes(self, blocks: int) -> Passes:
        return Passes(float(self.compensate), THERE_AND_BACK if self.takes_gradients else 0)

    def check_removes(self, sparsity: float, blocks: int) -> None:
        share_of_each(sparsity, pruned_blocks(self, blocks), blocks)


def pruned_blocks(method: LLMPruner, blocks: int) -> range:
    """The blocks that lose groups. By default those of the paper, 4 to 29 of 32, and as large a share of other depths.

    Raises BadOption where there are none.
    """
    if not method.uneven:
        return range(blocks)
    front, behind = (max(1, math.floor(blocks * share + 0.5)) for share in (1 / 8, 1 / 16))
    start = front if method.start_block == BY_SIZE else method.start_block
    end = blocks - behind if method.end_block == BY_SIZE else method.end_block
    if not start < end <= blocks:
        raise BadOption(
            f"The blocks from {start} up to {end} are none of a model with {blocks}; choose start_block below "
            f"end_block and end_block up to {blocks}."
        )
    return range(start, end)


def share_of_each(sparsity: float, pruned: range, blocks: int) -> float:
    """What each pruned block loses, so that all blocks together lose `sparsity`; raises BadOption above 95% where some
    stay whole.

    Example: 0.2 of 32 blocks is 0.246 of each of 26.
    """
    share = sparsity * blocks / len(pruned)
    if len(pruned) < blocks and share > _MOST:
        raise BadOption(
            f"{sparsity:g} of {blocks} blocks would be {share:.0%} of each of the {len(pruned)} that are pruned; "
            f"choose at most {math.floor(1000 * _MOST * len(pruned) / blocks) / 1000:g}, or prune more blocks."
        )
    return share


def groups_kept(
    sparsity: float, weights: int, structures: Mapping[str, Groups], multiple: int
) -> dict[str, int]:
    """Unit -> how many groups of every block stay, so that close to `sparsity` of its `weights` go.

    Heads go by the share itself, rounded; channels by what is then left to go, to the nearest multiple, or all of them,
    where there are more.
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
    kept["channels"] = nearest_multiple(groups - max(0.0, to_go) / each, groups, multiple)
    return kept


def nearest_multiple(wanted: float, groups: int, multiple: int) -> int:
    """The multiple nearest to `wanted`, or all `groups` where that is nearer; never none."""
    step = multiple if groups > multiple else 1
    below = max(step, step * math.floor(wanted / step))
    return min(min(below + step, groups), below, key=lambda count: abs(count - wanted))
