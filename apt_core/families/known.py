"""The families that were tried on this code, and what is done with any other. No torch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.metadata import entry_points

from apt_core.families.bamba import BAMBA
from apt_core.families.falcon import FALCON
from apt_core.families.family import Family
from apt_core.families.gemma import GEMMA
from apt_core.families.gpt2 import GPT2
from apt_core.families.gpt_neox import GPT_NEOX
from apt_core.families.granite_hybrid import GRANITE_HYBRID
from apt_core.families.jamba import JAMBA
from apt_core.families.llama import LLAMA
from apt_core.families.mamba import MAMBA
from apt_core.families.mamba2 import MAMBA2
from apt_core.families.mixtures import MIXTRAL, QWEN2_MOE
from apt_core.families.nemotron_h import NEMOTRON_H
from apt_core.families.olmo2 import OLMO2
from apt_core.families.opt import OPT
from apt_core.families.phi3 import PHI3
from apt_core.families.zamba2 import ZAMBA2

_ALL = (
    LLAMA, GEMMA, PHI3, GPT2, OPT, GPT_NEOX, FALCON, MAMBA, MAMBA2, MIXTRAL, QWEN2_MOE, JAMBA, ZAMBA2, BAMBA,
    GRANITE_HYBRID, NEMOTRON_H, OLMO2,
)  # fmt: skip

FAMILIES: dict[str, Family] = {model_type: family for family in _ALL for model_type in family.model_types}
ENTRY_POINTS = "apt_core.families"  # each names a `Family` of a package outside
_log = logging.getLogger(__name__)


def _from_outside() -> Iterator[Family]:
    """What other packages add; one that cannot be loaded, or names something else, is left out and said."""
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            family = entry.load()
        except Exception:  # whatever somebody else's package does at import, ours goes on without it
            _log.exception(
                "The package that adds the family %s = %s cannot be loaded", entry.name, entry.value
            )
            continue
        if isinstance(family, Family):
            yield family
        else:
            _log.error("The package that adds the family %s = %s names no Family", entry.name, entry.value)


def add_families_from_outside() -> None:
    """Ours stay what they are: of two families that name a model type the first counts."""
    for family in _from_outside():
        for model_type in family.model_types:
            FAMILIES.setdefault(model_type, family)


_ROUTERS = ("*gate", "*router", "*router.*", "*gate.wg")


def may_be_pruned(family: Family | None, name: str, optional: bool = False) -> bool:
    """Is a linear map of this name pruned? In a family that is not listed: unless it looks like a router.

    optional: also those that a family prunes only when asked.
    """
    if family is None:
        return not any(fnmatchcase(name, router) for router in _ROUTERS)
    return family.place(name, optional) is not None


# What is taken for granted of a family that is not listed.
UNLISTED = Family(title="", model_types=(), projections=())


def family_of_type(model_type: object) -> Family | None:
    """The family of a config.json's `model_type`, of any type; None when it is not listed."""
    return FAMILIES.get(model_type) if isinstance(model_type, str) else None
