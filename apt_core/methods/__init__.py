"""The registry: every file of this folder that defines a `Method` is a method, found on sight."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from apt_core.base.errors import BadOption, one_sentence
from apt_core.methods.base import Method, Pruned

__all__ = ["METHODS", "Method", "Pruned", "make_method"]

# In the order in which the page offers them; a file that is not named here comes after these.
_ORDER = ("apt", "apt-joint", "sparsegpt", "wanda", "magnitude", "alps")


def _discover() -> dict[str, type[Method]]:
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    found = {cls.name: cls for cls in _subclasses(Method) if "name" in vars(cls)}
    rank = {name: place for place, name in enumerate(_ORDER)}
    return dict(sorted(found.items(), key=lambda item: (rank.get(item[0], len(rank)), item[0])))


def _subclasses(cls: type[Method]) -> list[type[Method]]:
    direct = cls.__subclasses__()
    return direct + [below for child in direct for below in _subclasses(child)]


METHODS: dict[str, type[Method]] = _discover()


def make_method(name: str, options: dict[str, Any] | None = None) -> Method:
    """The method called `name` with these options; raises BadOption with one sentence otherwise."""
    if name not in METHODS:
        raise BadOption(f"There is no method '{name}'; choose one of {', '.join(METHODS)}.")
    try:
        return METHODS[name].model_validate(options or {})
    except ValidationError as error:
        raise BadOption(f"{METHODS[name].title}: {one_sentence(error)}") from error
