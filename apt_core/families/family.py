"""What a model family is to a pruner: data. No torch, so that the page's estimates read it too."""

from __future__ import annotations

from fnmatch import fnmatchcase

from apt_core.values import Frozen


class Family(Frozen):
    """Where the models of a family keep their blocks, and what of a block is pruned.

    Names are those inside a block, as transformers holds them. Together `projections` and `never` name every
    linear map of a block: a test fails when transformers adds one that neither does.
    """

    title: str
    model_types: tuple[str, ...]  # as config.json and the packages of transformers spell them
    blocks: str = "model.layers"  # the decoder's list of blocks
    # In the order in which a token meets them; `experts` stands for all the matrices of all experts.
    projections: tuple[str, ...]
    never: tuple[str, ...] = ()  # linear maps that stay dense; `*` and `?` as in file names
    # Every window of text begins with the tokenizer's first token, without which predictions mean nothing.
    opens_with_bos: bool = False
    transposed: bool = False  # weights are stored [in, out]
    on_disk: tuple[tuple[str, str], ...] = ()  # (beginning in the safetensors, here) where they differ

    def name_here(self, on_disk: str) -> str:
        """What transformers calls a layer that the safetensors call `on_disk`."""
        for theirs, ours in self.on_disk:
            if on_disk.startswith(theirs):
                return ours + on_disk.removeprefix(theirs)
        return on_disk

    def keeps_dense(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.never)

    def place(self, name: str) -> int | None:
        """Where in the order a layer stands; None when it is not pruned."""
        if self.keeps_dense(name):
            return None
        return next(
            (place for place, known in enumerate(self.projections) if _within(name, known)),
            None,
        )


def _within(name: str, known: str) -> bool:
    """'mlp.experts.3.down_proj' is within 'mlp.experts'."""
    return name == known or name.startswith(known + ".")
