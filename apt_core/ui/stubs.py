"""Gradio imported without what takes longer than the rest of it, and what the page does not need.

Gradio (seen in 5 and 6) parses the source of each of its components whenever it is imported and writes what editors
read about their events: half of the time, and an installed package is not the place to write to. It imports pandas for
a cache of functions that the page does not use, and httpx the command line of httpx. While it builds a page it works
out the signatures of the same constructors again for every component.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

from apt_core.base.lazy import lazy

_WRITES_STUBS = "gradio.component_meta"
_WRITER = "create_or_modify_pyi"
_NOT_NEEDED = "httpx._main"  # httpx does without it where it cannot be imported


def leave_out() -> None:
    """Before gradio is imported; afterwards this changes nothing."""
    if _WRITES_STUBS not in sys.modules and not any(isinstance(one, _Finder) for one in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds modules as Python does, and has these few loaded in another way."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == _NOT_NEEDED:
            raise ModuleNotFoundError("the page needs no command line of httpx", name=name)
        if name not in _LOADERS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and type(spec.loader) is SourceFileLoader:
            spec.loader = _LOADERS[name](spec.loader.name, spec.loader.path)
        return spec


class _WithoutWriter(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        vars(module)["inspect"] = _Remembering()
        if hasattr(module, _WRITER):
            setattr(module, _WRITER, write_nothing)


class _WithoutPandas(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        with _stand_in("pandas") as stands_in:
            super().exec_module(module)
        for name, value in list(vars(module).items()):
            if value is stands_in:
                setattr(module, name, lazy("pandas"))


class _WithRememberedSignatures(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        vars(module)["inspect"] = _Remembering()


_LOADERS: Mapping[str, Callable[[str, str], SourceFileLoader]] = {
    _WRITES_STUBS: _WithoutWriter,
    "gradio.caching": _WithoutPandas,
    "gradio.blocks": _WithRememberedSignatures,
}


@contextmanager
def _stand_in(name: str) -> Iterator[ModuleType | None]:
    """An empty module of this name while the context lasts; None where the real one is there already."""
    if name in sys.modules:
        yield None
        return
    sys.modules[name] = module = ModuleType(name)
    try:
        yield module
    finally:
        del sys.modules[name]


class _Remembering:
    """Python's `inspect`, which works out a signature once."""

    def __getattr__(self, name: str) -> Any:
        return getattr(inspect, name)

    signature = staticmethod(lru_cache(maxsize=1024)(inspect.signature))
    getfullargspec = staticmethod(lru_cache(maxsize=1024)(inspect.getfullargspec))


def write_nothing(*_: Any) -> None:
    """In place of Gradio's writer."""
