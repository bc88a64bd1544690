"""Gradio without its type stubs: half of the time to import it is the writing of `.pyi` files beside its own sources.

Gradio (seen in 5 and 6) parses the source of each of its components whenever it is imported and writes what editors
read about their events. The page needs none of that, and an installed package is not the place to write to.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_WRITES_STUBS = "gradio.component_meta"
_WRITER = "create_or_modify_pyi"


def leave_out() -> None:
    """Before gradio is imported; afterwards this changes nothing."""
    if _WRITES_STUBS not in sys.modules and not any(isinstance(one, _Finder) for one in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the one module as Python does, and has it loaded without its writer."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _WRITES_STUBS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        if hasattr(module, _WRITER):
            setattr(module, _WRITER, write_nothing)


def write_nothing(*_: Any) -> None:
    """In place of Gradio's writer."""
