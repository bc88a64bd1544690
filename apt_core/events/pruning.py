"""What was removed of a model, layer by layer or in whole parts. No torch."""

from __future__ import annotations

from typing import Literal

from apt_core.base.values import Frozen


class PartPruned(Frozen):
    """Some rows of a layer that are a projection of their own, such as B of a Mamba-2's one projection."""

    name: str
    rows: int
    removed: int
    sparsity: float
    relative_error: float  # of these rows alone


class LayerPruned(Frozen):
    kind: Literal["layer_pruned"] = "layer_pruned"
    block: int
    layer: str
    shape: tuple[int, int]  # [out, in]
    removed: int  # weights that are exactly zero now
    sparsity: float  # removed / (out * in)
    relative_error: float  # tr(D G D^T) / tr(W G W^T), undamped G, float32
    pattern_valid: bool  # exactly k removed, and for N:M every group holds at most N non-zeros
    dampening: float
    seconds: float  # for this layer alone
    parts: tuple[
        PartPruned, ...
    ] = ()  # from the first row to the last, where it is several projections in one
    tokens: int | None = None  # calibration tokens that the statistics are made of
    few_tokens: bool = False  # too few for the layer's width, so its statistics are mostly noise


class Allocated(Frozen):
    """The sparsity that each layer was given, where an allocation differs from layer to layer."""

    kind: Literal["allocated"] = "allocated"
    shares: dict[str, float]  # "block:layer" -> fraction of its weights to remove


class Narrowed(Frozen):
    """Structures of which blocks have fewer now.

    after: those of a block, of the narrowest where blocks differ. lost: for each block, the share of the importance of
    all of them that went. by_block: how many each block has, where blocks differ.
    """

    name: str  # "attention heads", "key-value heads", "MLP channels"
    before: int
    after: int
    lost: tuple[float, ...] = ()
    by_block: tuple[int, ...] = ()

    def of_block(self, block: int) -> int:
        """How many this block has now."""
        return self.by_block[block] if self.by_block else self.after

    @property
    def staying(self) -> str:
        """'6 of 9 attention heads'; '3 to 9 of 9 attention heads' where blocks differ."""
        most = max(self.by_block, default=self.after)
        span = f"{self.after:,}" if most == self.after else f"{self.after:,} to {most:,}"
        return f"{span} of {self.before:,} {self.name}"


class Folded(Frozen):
    """A block whose last projection took over for removed blocks behind it by a linear map.

    left: the share of what those had added to the hidden states that is still missing on the calibration text.
    """

    block: int
    left: float


class Shrunk(Frozen):
    """Which structures of the dense model went: what is left is a physically smaller model.

    kept: numbers of the blocks that stay, of so many. scores: of each block, None where one has none; the lowest went.
    uneven: whether the blocks that are left differ in width, so that transformers alone does not load them.
    """

    kind: Literal["shrunk"] = "shrunk"
    blocks: int
    kept: tuple[int, ...]
    score: str = ""  # what the scores are, empty where blocks were not compared
    scores: tuple[float | None, ...] = ()
    widths: tuple[Narrowed, ...] = ()
    folded: tuple[Folded, ...] = ()
    dense_parameters: int
    parameters: int  # that are left
    share: float  # of the weights in the linear layers of the blocks that went
    uneven: bool = False

    @property
    def removed_blocks(self) -> tuple[int, ...]:
        return tuple(block for block in range(self.blocks) if block not in self.kept)
