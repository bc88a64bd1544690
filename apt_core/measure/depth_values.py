"""How a pruned model diverges from the dense one, block after block, as values. No torch."""

from __future__ import annotations

from typing import Literal

from apt_core.base.values import Frozen

LENS_POSITIONS = 256  # the head is read at so many, spread over all tokens, behind every block


class AfterBlock(Frozen):
    """The hidden states behind a block, dense against pruned, over all tokens.

    relative_error: ||x' - x||^2 / ||x||^2 of all tokens together; a few with huge norms can make up most of it, so
    `median_error` is that of the median token. cosine: the mean over tokens. divergence: KL(dense || pruned) in nats of
    the next-token distributions that the model's own head reads from these states (the logit lens), mean over the
    positions that were read; behind the last block it is that of the models themselves.
    """

    block: int
    relative_error: float
    median_error: float
    cosine: float
    divergence: float


class Depth(Frozen):
    kind: Literal["depth"] = "depth"
    run: str
    text: str
    windows: int
    length: int
    positions: int  # that the logit lens read
    blocks: tuple[AfterBlock, ...]
    top1: float  # share of these positions at which both models' most likely next token is the same
    seconds: float


class BlocksAlone(Frozen):
    """The loss (mean negative log-likelihood) with one block pruned and all others dense.

    losses: one for each block, in order. dense, pruned: of the whole models. Increases need not add up to
    pruned - dense: errors of one block are changed by the blocks behind it.
    """

    kind: Literal["blocks_alone"] = "blocks_alone"
    run: str
    text: str
    windows: int
    length: int
    dense: float
    pruned: float
    losses: tuple[float, ...]
    seconds: float

    @property
    def increases(self) -> tuple[float, ...]:
        return tuple(loss - self.dense for loss in self.losses)

    @property
    def shares(self) -> tuple[float, ...]:
        """Of the sum of all increases; blocks whose pruning lowers the loss count as nothing."""
        raised = [max(increase, 0.0) for increase in self.increases]
        whole = sum(raised)
        return tuple(each / whole if whole > 0 else 0.0 for each in raised)
