"""Where a model keeps its decoder blocks, and which matrices of a block are pruned.

One file = one family = data (`family.Family`); `finding` reads them. Everything but `experts` is without torch
until it is handed a model.
"""

from apt_core.families.block_widths import BLOCK_WIDTHS, block_widths, config_of_block, stating
from apt_core.families.coupled import (
    Member,
    Structure,
    check_has_groups,
    no_groups,
    readers,
    structures_of,
)
from apt_core.families.family import Family
from apt_core.families.finding import (
    all_layers,
    attention_layers,
    decoder_blocks,
    differentiable,
    family_of,
    later_uses,
    linear_maps,
    module_proxies,
    opening_token,
    opens_with_bos,
    prunable_layers,
    what_was_guessed,
)
from apt_core.families.known import (
    FAMILIES,
    UNLISTED,
    add_families_from_outside,
    family_of_type,
    may_be_pruned,
)
from apt_core.families.layer import Layer

__all__ = [
    "BLOCK_WIDTHS",
    "FAMILIES",
    "UNLISTED",
    "Family",
    "Layer",
    "Member",
    "Structure",
    "all_layers",
    "attention_layers",
    "block_widths",
    "check_has_groups",
    "config_of_block",
    "decoder_blocks",
    "differentiable",
    "family_of",
    "family_of_type",
    "later_uses",
    "linear_maps",
    "may_be_pruned",
    "module_proxies",
    "no_groups",
    "opening_token",
    "opens_with_bos",
    "prunable_layers",
    "readers",
    "stating",
    "structures_of",
    "what_was_guessed",
]

add_families_from_outside()  # last, as they import from here
