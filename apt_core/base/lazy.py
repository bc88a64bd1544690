"""Modules that are imported when they are first used: the one way to keep torch and slow libraries out of a start.

    from apt_core.base.lazy import lazy

    if TYPE_CHECKING:
        import torch
    else:
        torch = lazy("torch")

at the top of a file, and `torch.zeros(3)` anywhere below it imports torch. In place of imports inside functions, which
hide what a file needs. For a module of our own: `loading = lazy("apt_core.models.load.loading")`;
`tests/test_architecture.py` reads these names too.

Classes of a lazy module cannot be bases or defaults, which are needed at once; a test that patches something patches it
in the module itself. (`importlib.util.LazyLoader` would put the module into `sys.modules` before it is loaded, where
libraries look to find out whether torch is there.)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for a module; reading or setting an attribute imports it."""

    def __init__(self, name: str):
        object.__setattr__(self, "_name", name)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        setattr(import_module(self._name), attribute, value)

    def __repr__(self) -> str:
        return f"lazy({self._name!r})"


def lazy(name: str) -> Any:
    """The module `name`, imported when something of it is first used."""
    return LazyModule(name)
