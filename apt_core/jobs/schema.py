"""How jobs that earlier versions stored are read: each step lifts plain data from one version to the next.

Version 1 of a pruning job was called a recipe: no `kind`, one evaluation, and device, dtype and weights beside the
rest. What a later version adds is left out when it is read here, and stays in the file that holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationInfo

_STORED = {"stored": True}  # the context of a validation: what is read was written by some version of the app
Data = dict[str, Any]


def lifted(data: Data) -> Data:
    """Stored data in the newest form that this version knows; data of a later version as it is."""
    data = dict(data)
    if "kind" not in data and "schema_version" not in data:
        data |= {"kind": "prune", "schema_version": 1}
    while step := _STEPS.get((str(data.get("kind")), str(data.get("schema_version")))):
        data = step(data)
    return data


def stored_context() -> Data:
    """For `model_validate(..., context=...)` of what was stored."""
    return dict(_STORED)


def is_stored(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get("stored"))


def _recipe_to_prune(data: Data) -> Data:
    """One evaluation becomes a tuple; device, dtype and weights become resources."""
    flat = {name: data.pop(name) for name in ("device", "dtype", "weights") if name in data}
    evaluation = data.get("evaluation", {})
    return data | {"schema_version": 2, "evaluation": [evaluation], "resources": flat}


def _masked_search(data: Data) -> Data:
    """Candidates of a search were compared before compensation."""
    evolution = {"judge": "masked"} | data.get("evolution", {})
    return data | {"schema_version": 2, "evolution": evolution}


_STEPS: dict[tuple[str, str], Callable[[Data], Data]] = {
    ("prune", "1"): _recipe_to_prune,
    ("search", "1"): _masked_search,
}
