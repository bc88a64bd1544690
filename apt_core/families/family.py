"""The description of a model family for pruning, as data. No torch, so that the page's estimates read it too."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

from apt_core.base.values import Frozen

# Do heads lie in a projection's rows or columns, and whose are they: queries', or keys' and values'.
Heads = tuple[Literal["rows", "columns"], Literal["queries", "keys"]]
_HEADS: dict[str, Heads] = {
    "q_proj": ("rows", "queries"),
    "k_proj": ("rows", "keys"),
    "v_proj": ("rows", "keys"),
    "o_proj": ("columns", "queries"),
    "out_proj": ("columns", "queries"),
}


class Fused(Frozen):
    """A projection whose rows are several projections, one below the other."""

    layer: str
    # (name, the attributes of the module that holds the projection whose product is the number of rows)
    parts: tuple[tuple[str, tuple[str, ...]], ...]


class Side(Frozen):
    """One half of a block whose structures go together: rows of some projections, and the columns that read them.

    rows: (layer, what its rows are, one below the other).
    """

    unit: Literal["heads", "channels"]
    rows: tuple[tuple[str, tuple[Literal["queries", "keys", "channels"], ...]], ...]
    reader: str
    width: str  # the name in config.json for the number of channels, or of heads

    @property
    def layers(self) -> frozenset[str]:
        return frozenset((*(name for name, _ in self.rows), self.reader))


class Family(Frozen):
    """Where the models of a family keep their blocks, and what of a block is pruned.

    Names are those inside a block, as transformers holds them. Together `projections` and `never` name every
    linear map of a block: a test fails when transformers adds one that neither does. Patterns (`*`, `?`) are
    those of file names.
    """

    title: str
    model_types: tuple[str, ...]  # as config.json and the packages of transformers spell them
    blocks: str = "model.layers"  # the decoder's list of blocks
    # In the order in which a token meets them; `experts` stands for all the matrices of all experts.
    projections: tuple[str, ...]
    optional: tuple[str, ...] = ()  # those of the projections that are pruned only when a job asks for it
    never: tuple[str, ...] = ()  # patterns of linear maps that stay dense
    functional_weights: tuple[str, ...] = ()  # projections whose weight is multiplied with, past their module
    # Last names of the projections that read the same tensor where they stand side by side.
    same_input: tuple[tuple[str, ...], ...] = (
        ("q_proj", "k_proj", "v_proj"),
        ("gate_proj", "up_proj"),
        ("w1", "w3"),
    )
    # Patterns of the projections of an attention: what those before a layer gave waits there with its input.
    attention: tuple[str, ...] = ("*attn.*", "*attention.*")
    heads: dict[str, Heads] = _HEADS  # by the last name of a projection of an attention
    # Does config.json say how many heads keys and values have, and how wide all are (where they are not as usual)?
    states_heads: bool = True
    fused: tuple[Fused, ...] = ()
    # Heads and channels that can go as a whole: where the configuration can say so, and nothing normalises over them.
    coupled: tuple[Side, ...] = ()
    float32: tuple[str, ...] = ()  # last names of parameters that are never rounded to half precision
    # Every window of text begins with the tokenizer's first token, without which predictions mean nothing.
    opens_with_bos: bool = False
    transposed: bool = False  # weights are stored [in, out]
    # Can its blocks be read from disk one at a time? Not where transformers rearranges weights while it loads them, nor
    # where blocks share weights.
    by_block: bool = True
    on_disk: tuple[tuple[str, str], ...] = ()  # (beginning in the safetensors, here) where they differ

    def name_here(self, on_disk: str) -> str:
        """What transformers calls a layer that the safetensors call `on_disk`."""
        for theirs, ours in self.on_disk:
            if on_disk.startswith(theirs):
                return ours + on_disk.removeprefix(theirs)
        return on_disk

    def input_of(self, name: str) -> str:
        """Layers of a block that are handed the same tensor have this in common: the first of them."""
        place, dot, last = name.rpartition(".")
        group = next((group for group in self.same_input if last in group), (last,))
        return f"{place}{dot}{group[0]}"

    def in_attention(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.attention)

    def heads_in(self, name: str) -> Heads | None:
        """Where a projection holds whole heads side by side; None where it does not."""
        return self.heads.get(name.rpartition(".")[2]) if self.in_attention(name) else None

    def keeps_dense(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.never)

    def needs_float32(self, name: str) -> bool:
        return name.rpartition(".")[2] in self.float32

    def place(self, name: str, optional: bool = False) -> int | None:
        """Where in the order a layer stands; None when it is not pruned. optional: is every layer asked for?"""
        if self.keeps_dense(name) or (name in self.optional and not optional):
            return None
        return next(
            (place for place, known in enumerate(self.projections) if _within(name, known)),
            None,
        )


def _within(name: str, known: str) -> bool:
    """'mlp.experts.3.down_proj' is within 'mlp.experts'."""
    return name == known or name.startswith(known + ".")
