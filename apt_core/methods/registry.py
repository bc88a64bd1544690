"""Components and methods, found on sight: each file below this folder, and what installed packages add.

A package adds a component (or a named method) by an entry point of the group `apt_core.components` that names the
class, or the module that defines it:

    [project.entry-points."apt_core.components"]
    random = "my_package.random_mask:RandomMask"
"""

from __future__ import annotations

import logging
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import ValidationError

from apt_core.base.errors import BadOption, one_sentence
from apt_core.base.lazy import lazy
from apt_core.base.words import nearest
from apt_core.methods.component import SLOTS, Component, Named

if TYPE_CHECKING:
    from apt_core.methods import base as compositions
    from apt_core.methods.base import Method
    from apt_core.methods.recovery import base as recovery
    from apt_core.methods.recovery.base import Recovery
    from apt_core.methods.structured import base as structured
    from apt_core.methods.structured.base import StructuredMethod
else:
    compositions = lazy("apt_core.methods.base")  # which reads this file
    recovery = lazy("apt_core.methods.recovery.base")
    structured = lazy("apt_core.methods.structured.base")

ENTRY_POINTS = "apt_core.components"
_OURS = "apt_core."
_log = logging.getLogger(__name__)
Found = TypeVar("Found")
Kind = TypeVar("Kind", bound=Named)


class Registry(Mapping[str, Found], Generic[Found]):
    """A mapping that is filled when it is first read: a package that adds to it may be imported before it is."""

    def __init__(self, discover: Callable[[], dict[str, Found]]):
        self._discover = discover

    @cached_property
    def _found(self) -> dict[str, Found]:
        return self._discover()

    def __getitem__(self, name: str) -> Found:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def component_of(slot: str, value: Any, default: Component) -> Component:
    """The component that `value` asks for: itself, a name, or options with or without a name.

    What is not given is as in `default`, where that is the same component, else the component's own default.
    Raises BadOption with one sentence.
    """
    if isinstance(value, SLOTS[slot]):
        return value
    options = {"name": value} if isinstance(value, str) else value
    if not isinstance(options, dict):
        raise BadOption(f"{slot}: give a name or options, not {value!r}."[:300])
    options = dict(options)
    name = options.pop("name", default.name)
    if not isinstance(name, str) or name not in COMPONENTS[slot]:
        known = COMPONENTS[slot]
        hint = nearest(str(name)[:40], known)
        raise BadOption(f"There is no {slot} {str(name)[:40]!r}; choose one of {listed(known)}.{hint}")
    kind = COMPONENTS[slot][name]
    kept = {field: getattr(default, field) for field in kind.model_fields} if name == default.name else {}
    return with_options(kind, kept | options, f"{slot} {name}")


def with_options(kind: type[Kind], options: dict[str, Any], title: str) -> Kind:
    """A value of this kind; raises BadOption with one sentence that begins with `title`."""
    for option in options:
        if option not in kind.model_fields and option != "name":
            raise BadOption(f"{title} has no option {str(option)[:40]!r}; {known_options(kind)}.")
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        raise BadOption(f"{title}: {one_sentence(error)}") from error


def known_options(kind: type[Named]) -> str:
    """'its options are block_size, output_weight', or 'it has none'."""
    return f"its options are {listed(kind.model_fields)}" if kind.model_fields else "it has none"


def listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names)


def _components() -> dict[str, dict[str, type[Component]]]:
    _import_all()
    return {slot: _by_name(kind) for slot, kind in SLOTS.items()}


def _methods() -> dict[str, type[Method]]:
    _import_all()
    return _by_name(compositions.Method)


def _structured() -> dict[str, type[StructuredMethod]]:
    _import_all()
    return _by_name(structured.StructuredMethod)


def _recoveries() -> dict[str, type[Recovery]]:
    _import_all()
    return _by_name(recovery.Recovery)


def recovery_of(value: Any) -> Recovery:
    """The recovery that `value` asks for: itself, a name, or options with its name.

    Raises BadOption with one sentence.
    """
    if isinstance(value, recovery.Recovery):
        return value
    options = dict(value) if isinstance(value, dict) else {"name": value if isinstance(value, str) else None}
    return make_recovery(str(options.pop("name", None)), options)


def make_recovery(name: str, options: dict[str, Any]) -> Recovery:
    """The recovery called `name` with these options; raises BadOption with one sentence otherwise."""
    if name not in RECOVERIES:
        raise BadOption(f"There is no way to recover {name[:40]!r}; choose one of {listed(RECOVERIES)}.")
    return with_options(RECOVERIES[name], options, name)


def _import_all() -> None:
    package = import_module("apt_core.methods")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        import_module(module.name)
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
        except Exception:  # another's code: whatever is wrong with it, our own methods are there
            _log.exception("The package that adds %s = %s cannot be loaded", entry.name, entry.value)


def _by_name(base: type[Kind]) -> dict[str, type[Kind]]:
    found: dict[str, type[Kind]] = {}
    named = [kind for kind in _below(base) if "name" in vars(kind)]
    for kind in sorted(named, key=lambda kind: not kind.__module__.startswith(_OURS)):
        if found.setdefault(kind.name, kind) is not kind:
            _log.warning("%s is left out: the name %r is taken", kind, kind.name)
    return dict(sorted(found.items(), key=lambda item: (item[1].place, item[0])))


def _below(kind: type[Kind]) -> list[type[Kind]]:
    direct = kind.__subclasses__()
    return direct + [below for child in direct for below in _below(child)]


COMPONENTS: Registry[dict[str, type[Component]]] = Registry(_components)
METHODS: Registry[type[Method]] = Registry(_methods)
# Those that remove whole structures; they take no components.
STRUCTURED: Registry[type[StructuredMethod]] = Registry(_structured)
RECOVERIES: Registry[type[Recovery]] = Registry(_recoveries)
