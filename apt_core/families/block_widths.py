"""Widths that differ from block to block, as config.json states them under a key of its own. No torch.

    "apt_block_widths": [{"num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536}, ...]

An entry for each block. The plain names beside the key are those of the widest blocks, so whoever reads them alone
finds tensors of other shapes in the files: plain transformers raises its error for sizes that do not match.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apt_core.families.known import FAMILIES

BLOCK_WIDTHS = "apt_block_widths"
# All that an entry may change: whatever else stands in it is not of this program.
WIDTH_NAMES = frozenset(
    {"num_key_value_heads", *(side.width for family in FAMILIES.values() for side in family.coupled)}
)

Widths = Mapping[str, int]  # name in config.json -> how many a block has


def block_widths(config: Mapping[str, Any]) -> tuple[Widths, ...]:
    """Of each block, in order; none where all blocks are alike. config: of the text model, checked before."""
    stated = config.get(BLOCK_WIDTHS)
    return tuple(stated) if isinstance(stated, list | tuple) else ()


def config_of_block(config: Mapping[str, Any], block: int) -> dict[str, Any]:
    """The configuration of a model whose blocks are all as this one."""
    widths = block_widths(config)
    return {**config, **(widths[block] if block < len(widths) else {})}


def stating(widths: Sequence[Widths]) -> dict[str, Any]:
    """What config.json says of blocks of these widths; the key goes (None) where all are alike."""
    if all(one == widths[0] for one in widths):
        return {**widths[0], BLOCK_WIDTHS: None}
    widest = {name: max(one[name] for one in widths) for name in widths[0]}
    return {**widest, BLOCK_WIDTHS: [dict(one) for one in widths]}
