"""Functions out of somebody else's repository, and a model made of recorded inputs for those that want one.

Their code walks models of other versions of transformers, and fetches its own text. Here it is handed blocks whose
linear maps are ours and whose forward pass calls each with what it was recorded to read; so a comparison is of the rule
alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

Recorded = Mapping[str, Tensor]  # layer name -> its inputs [windows, tokens, in]


@contextmanager
def modules_of(repository: Path, package: str, absent: tuple[str, ...] = ()) -> Iterator[None]:
    """Inside, `package` is imported from the repository. absent: modules that it names, and that nothing calls here.

    Several repositories call their package `lib`: afterwards all is as it was.
    """
    before = {name: own for name, own in sys.modules.items() if _within(name, package) or name in absent}
    for name in before:
        del sys.modules[name]
    sys.modules.update({name: _Absent(name) for name in absent})
    sys.path.insert(0, str(repository))
    try:
        yield
    finally:
        sys.path.remove(str(repository))
        for name in [name for name in sys.modules if _within(name, package) or name in absent]:
            del sys.modules[name]
        sys.modules.update(before)


class _Absent(ModuleType):
    """Has whatever is imported from it, as None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def bare_package(repository: Path, name: str) -> None:
    """A package without what its __init__ would import: their models are of older versions of transformers."""
    module = ModuleType(name)
    module.__path__ = [str(repository / name.replace(".", "/"))]
    sys.modules[name] = module


def module(name: str) -> Any:
    return import_module(name)


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


class RecordedBlock(nn.Module):
    """A block of linear maps, each of which is called with its own recorded inputs, window by window."""

    def __init__(self, weights: Mapping[str, Tensor], inputs: Recorded):
        super().__init__()
        for name, weight in weights.items():
            linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            linear.weight = nn.Parameter(weight.clone(), requires_grad=False)
            _place(self, name.split("."), linear)
        self._inputs, self._turn = inputs, 0

    def forward(self, hidden: Tensor, **_: Any) -> tuple[Tensor]:
        windows = len(next(iter(self._inputs.values())))
        for name, inputs in self._inputs.items():
            self.get_submodule(name)(inputs[self._turn].unsqueeze(0))
        self._turn = (self._turn + 1) % windows
        return (hidden,)

    def pruned(self) -> dict[str, Tensor]:
        """Layer name -> where the weight is zero now."""
        return {name: self.get_submodule(name).weight == 0 for name in self._inputs}


def _place(parent: nn.Module, path: list[str], linear: nn.Module) -> None:
    for name in path[:-1]:
        if not hasattr(parent, name):
            parent.add_module(name, nn.Module())
        parent = parent.get_submodule(name)
    parent.add_module(path[-1], linear)


class RecordedModel(nn.Module):
    """What their functions ask of a model: `model.layers`, a configuration, a device map."""

    def __init__(self, blocks: list[RecordedBlock]):
        super().__init__()
        self.model = nn.Module()
        self.model.layers = nn.ModuleList(blocks)
        self.config = SimpleNamespace(use_cache=False)
        self.hf_device_map: dict[str, str] = {}
        self.seqlen = 1

    @property
    def blocks(self) -> list[RecordedBlock]:
        return list(self.model.layers)  # type: ignore[arg-type]


def with_recorded_inputs(theirs: Any, windows: int) -> list[tuple[Any, ...]]:
    """Make their module read no text of its own and keep what it prints; returns what it says."""
    said: list[tuple[Any, ...]] = []
    theirs.get_loaders = lambda *_, **__: (None, None)
    theirs.prepare_calibration_input = lambda *_: (
        torch.zeros(windows, 1, 1),
        torch.zeros(windows, 1, 1),
        None,
        None,
    )
    theirs.print = lambda *given: said.append(given)
    return said
