"""How a layer is pruned: allocation x target x mask x refinement x reconstruction, one file a component.

May import `base` and `maths`, the latter only where something is computed: who reads options loads no torch.
`named/` holds the published methods, each a composition with its defaults; `structured/` those that take no
components, because they remove whole structures.
"""

from __future__ import annotations

from typing import Any

from apt_core.base.errors import BadOption
from apt_core.base.words import nearest
from apt_core.methods.base import Component, LayerKey, Method, Pruned, Statistic
from apt_core.methods.flat import nested
from apt_core.methods.reconstructions.exact import Exact
from apt_core.methods.reconstructions.search import SearchResult
from apt_core.methods.registry import COMPONENTS, METHODS, STRUCTURED, listed, with_options
from apt_core.methods.structured.base import StructuredMethod

__all__ = [
    "COMPONENTS",
    "METHODS",
    "STRUCTURED",
    "Component",
    "LayerKey",
    "Method",
    "Pruned",
    "Statistic",
    "StructuredMethod",
    "make_method",
    "make_structured",
]


def make_method(name: str, options: dict[str, Any] | None = None) -> Method:
    """The method called `name` with these options; raises BadOption with one sentence otherwise.

    options: nested ({"mask": {"name": "alps"}}), by path ({"mask.block_size": 64}), or flat as older versions
    wrote them ({"block_size": 64}).
    """
    if name not in METHODS:
        if name in STRUCTURED:
            raise BadOption(
                f"{STRUCTURED[name].title} removes {STRUCTURED[name].removes}, which no composition of masks does; "
                f"choose one of {listed(METHODS)}."
            )
        known = [*METHODS, *STRUCTURED]
        raise BadOption(
            f"There is no method '{name}'; choose one of {', '.join(known)}.{nearest(name, known)}"
        )
    kind = METHODS[name]
    return with_options(kind, _made_up_for(kind, nested(name, options or {})), kind.title)


def _made_up_for(kind: type[Method], options: dict[str, Any]) -> dict[str, Any]:
    """What a search has moved makes up for its own mask: a refined one is reconstructed exactly, unless somebody says
    how."""
    own = kind()
    refinement = options.get("refinement", own.refinement)
    name = refinement.get("name") if isinstance(refinement, dict) else getattr(refinement, "name", refinement)
    if (
        "reconstruction" in options
        or name in (None, "none")
        or not isinstance(own.reconstruction, SearchResult)
    ):
        return options
    return options | {"reconstruction": {"name": Exact.name}}


def make_structured(name: str, options: dict[str, Any] | None = None) -> StructuredMethod:
    """The structured method called `name` with these options; raises BadOption with one sentence otherwise."""
    if name not in STRUCTURED:
        raise BadOption(
            f"There is no method '{name}' that removes structures; choose one of {listed(STRUCTURED)}."
        )
    kind, given = STRUCTURED[name], options or {}
    kind.check_options(given)
    return with_options(kind, given, kind.title)
