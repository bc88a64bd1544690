"""Options as they are written: nested, by dotted path, or flat as versions before the components wrote them.

    {"name": "apt", "mask": "S", "block_size": 128}  ->  {"mask": {"solution": "S", "block_size": 128}}
    {"mask.steps": 5, "mask": "admm"}                ->  {"mask": {"name": "admm", "steps": 5}}

The names of old options live here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apt_core.methods.base import Method
from apt_core.methods.component import SLOTS, Component
from apt_core.methods.registry import COMPONENTS, METHODS

# Old option -> where it is now.
_MOVED = {
    "block_size": ("mask", "block_size"),
    "output_weight": ("mask", "output_weight"),
    "mask_steps": ("mask", "steps"),
    "swaps": ("refinement", "swaps"),
    "solver_steps": ("reconstruction", "steps"),
    "dense_share": ("target", "share"),
    "loss_share": ("target", "sensitivity"),
    "budgets": ("allocation", "max_deviation"),
}
# Options that every old composition had, whether or not its components read them.
_IDLE = frozenset({"swaps", "solver_steps"})
_SOLUTIONS = ("auto", "S", "M")  # what APT's option `mask` chose between
_OLD_RIA = {"name": "ria", "comparison": "row"}


def nested(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the method `name` with one entry a slot; what is unknown stays as it is, to be refused."""
    named, (slots, rest) = METHODS[name](), _by_slot(options)
    old = {option: rest.pop(option) for option in _MOVED if option in rest}
    if slots.get("mask", {}).get("name") in _SOLUTIONS and _reads(named, {}, "mask", "solution"):
        slots["mask"]["solution"] = slots["mask"].pop("name")
    if (
        slots.get("mask") == {"name": "ria"} and old.keys() >= _IDLE
    ):  # stored before it could compare otherwise
        slots["mask"] = _OLD_RIA
    if any(str(old.get(option)) in ("0", "0.0") for option in ("budgets", "loss_share")):
        slots.setdefault("allocation", {"name": "uniform"})
        old.pop("budgets", None)
    for option, value in old.items():
        slot, field = _MOVED[option]
        if _reads(named, slots, slot, field):
            slots.setdefault(slot, {}).setdefault(field, value)
        elif option not in _IDLE and not _reads(named, {}, slot, field):
            rest[option] = value
    return slots | rest | _instances(options)


def _by_slot(options: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """What is said of each slot, and all else. What is no option of a component is left for it to refuse."""
    slots: dict[str, dict[str, Any]] = {}
    rest: dict[str, Any] = {}
    for path, value in options.items():
        slot, dot, option = str(path).partition(".")
        if slot not in SLOTS:
            rest[path] = value
        elif dot:
            slots.setdefault(slot, {})[option] = value
        elif isinstance(value, Mapping):
            slots[slot] = dict(value) | slots.get(slot, {})
        else:
            slots.setdefault(slot, {})["name"] = value
    return slots, rest


def _instances(options: Mapping[str, Any]) -> dict[str, Component]:
    return {slot: value for slot, value in options.items() if isinstance(value, Component)}


def _reads(named: Method, slots: Mapping[str, Mapping[str, Any]], slot: str, option: str) -> bool:
    """Whether the component that fills the slot has this option; one that does not exist is refused later."""
    name = slots.get(slot, {}).get("name", getattr(named, slot).name)
    kind = COMPONENTS[slot].get(name) if isinstance(name, str) else None
    return kind is None or option in kind.model_fields
