"""Models that stay in memory between questions, within a bound. No torch: what loads them is handed in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from apt_core.base.errors import OutOfMemory
from apt_core.base.limits import LOADED_SHARE
from apt_core.base.words import size

Model = TypeVar("Model")


class LoadedModels(Generic[Model]):
    """The models asked last; the least recently used leave first when others need the room.

    load: from a folder to the model. bytes_of: what it will take, as its facts say. free: bytes that could be taken
    now. left: called after models have left, to give their memory back. Those that are asked together are there
    together, or OutOfMemory is raised; beside them others stay while all take at most `share` of what would be free
    without any.
    """

    def __init__(
        self,
        load: Callable[[Path], Model],
        bytes_of: Callable[[Path], int],
        free: Callable[[], int],
        left: Callable[[], None] = lambda: None,
        share: float = LOADED_SHARE,
    ):
        self._load, self._bytes_of, self._free, self._left = load, bytes_of, free, left
        self._share = share
        self._models: OrderedDict[Path, tuple[Model, int]] = OrderedDict()  # the least recently used first

    @property
    def folders(self) -> list[Path]:
        """Of the models that are there, the least recently used first."""
        return list(self._models)

    def has(self, folders: Sequence[Path]) -> bool:
        return all(folder in self._models for folder in folders)

    def take(self, folders: Sequence[Path]) -> list[Model]:
        """The models of these folders, loaded where they are not there; all of them count as used now."""
        for folder in folders:
            if folder in self._models:
                self._models.move_to_end(folder)
        sizes = {folder: self._size(folder) for folder in folders}
        self._make_room(sizes)
        for folder, n_bytes in sizes.items():
            if folder not in self._models:
                self._models[folder] = (self._load(folder), n_bytes)
        return [self._models[folder][0] for folder in folders]

    def _size(self, folder: Path) -> int:
        return self._models[folder][1] if folder in self._models else self._bytes_of(folder)

    def _make_room(self, wanted: dict[Path, int]) -> None:
        """Let the others go, the least recently used first, until what is wanted has room."""
        room = self._free() + sum(n_bytes for _, n_bytes in self._models.values())
        needed = sum(wanted.values())
        if needed > room and not self.has(list(wanted)):
            raise OutOfMemory(
                f"The {len(wanted)} models of this question take {size(needed)} together, and {size(room)} of memory "
                "are free; ask fewer or smaller models, or close other programs."
            )
        others = [folder for folder in self._models if folder not in wanted]
        held = needed + sum(self._models[folder][1] for folder in others)
        gone = 0
        while others and held > max(needed, self._share * room):
            held -= self._models.pop(others.pop(0))[1]
            gone += 1
        if gone:
            self._left()
