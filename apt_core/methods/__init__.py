"""How a layer is pruned: allocation x target x mask x refinement x reconstruction, one file a component.

May import `base` and `maths`, the latter only where something is computed: who reads options loads no torch.
`named/` holds the published methods, each a composition with its defaults.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from apt_core.base.errors import BadOption, one_sentence
from apt_core.methods.base import Component, LayerKey, Method, Pruned, Statistic
from apt_core.methods.flat import nested
from apt_core.methods.registry import COMPONENTS, METHODS, known_options, listed

__all__ = ["COMPONENTS", "METHODS", "Component", "LayerKey", "Method", "Pruned", "Statistic", "make_method"]


def make_method(name: str, options: dict[str, Any] | None = None) -> Method:
    """The method called `name` with these options; raises BadOption with one sentence otherwise.

    options: nested ({"mask": {"name": "alps"}}), by path ({"mask.block_size": 64}), or flat as older versions
    wrote them ({"block_size": 64}).
    """
    if name not in METHODS:
        raise BadOption(f"There is no method '{name}'; choose one of {listed(METHODS)}.")
    kind, given = METHODS[name], nested(name, options or {})
    for option in given:
        if option not in kind.model_fields and option != "name":
            raise BadOption(f"{kind.title} has no option {str(option)[:40]!r}; {known_options(kind)}.")
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise BadOption(f"{kind.title}: {one_sentence(error)}") from error
