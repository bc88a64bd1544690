"""Where a model's weights are while it is computed, and where they go when they are pruned.

    MemoryStore   every weight on one device; a checkpoint is written in one go
    DiskStore     one decoder block at a time (`disk_store`); a checkpoint grows block by block
    SpreadStore   every weight, over several devices (`spread_store`)

Whoever computes or prunes a model knows the protocol alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn

from apt_core.families import decoder_blocks
from apt_core.models.checkpoint.companions import partial_of
from apt_core.models.checkpoint.whole import save_checkpoint
from apt_core.models.load.tensor_store import TensorStore

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class WeightStore(Protocol):
    """blocks: the model's own modules. notice: what a user should know of where the weights are; None if nothing.
    reads_anew: whether weights come from files each time they are needed, so that `then_read` can change whose."""

    blocks: nn.ModuleList
    notice: str | None
    reads_anew: bool

    def block(self, index: int) -> AbstractContextManager[nn.Module]:
        """The block, with its weights in memory for as long as the context lasts."""

    def rest_away(self) -> AbstractContextManager[None]:
        """Inside, only blocks are asked for: the embedding and the head need not be in memory."""

    def all_loaded(self) -> AbstractContextManager[str | None]:
        """Inside, the model can be called as it is; or the reason why it cannot."""

    def scratch(self, folder: Path) -> AbstractContextManager[Callable[[str], TensorStore]]:
        """Stores of a given name for tensors that wait while blocks are computed; they go when the context ends.

        folder: the run's own, where they lie when memory is short.
        """

    def writing(self, dense_folder: Path, target: Path) -> AbstractContextManager[None]:
        """Inside, `commit` and `finish` write the checkpoint `target`; what is not finished at the end is removed.

        dense_folder: what the model was loaded from; it is only read. Raises BadInput when it is the target.
        """

    def commit(self, index: int, changed: Collection[str]) -> None:
        """Keep the pruned parameters of a block, which is open. changed: their names inside the block."""

    def finish(self) -> Path:
        """The checkpoint appears, whole, under its name; what was not committed is as the dense one has it."""

    def then_read(self, checkpoint: Path) -> None:
        """From here on the weights are those of a checkpoint that this store has finished; where it `reads_anew`, also
        those of the dense model again."""


def device_of(block: nn.Module) -> torch.device:
    """Where a block's weights are, and so where it is computed."""
    return next(block.parameters()).device


def prefix_of(model: nn.Module, blocks: nn.ModuleList) -> str:
    """What the names of the tensors of all blocks begin with, such as "model.layers."."""
    return next(name for name, module in model.named_modules() if module is blocks) + "."


class MemoryStore:
    """Every block keeps its weights in the model."""

    notice: str | None = None
    reads_anew = False

    def __init__(self, model: PreTrainedModel):
        self.blocks = decoder_blocks(model)
        self._model = model
        self._prefix = prefix_of(model, self.blocks)
        self._changed: set[str] = set()
        self._checkpoint: tuple[Path, Path] | None = None  # of the dense model, and what is written

    @contextmanager
    def block(self, index: int) -> Iterator[nn.Module]:
        yield self.blocks[index]

    def rest_away(self) -> AbstractContextManager[None]:
        return nullcontext()

    def all_loaded(self) -> AbstractContextManager[str | None]:
        return nullcontext()

    @contextmanager
    def scratch(self, folder: Path) -> Iterator[Callable[[str], TensorStore]]:
        yield lambda name: {}

    @contextmanager
    def writing(self, dense_folder: Path, target: Path) -> Iterator[None]:
        partial_of(target, dense_folder)  # is it the dense one?
        self._checkpoint, self._changed = (dense_folder, target), set()
        try:
            yield
        finally:
            self._checkpoint = None

    def commit(self, index: int, changed: Collection[str]) -> None:
        self._changed |= {f"{self._prefix}{index}.{inside}" for inside in changed}

    def finish(self) -> Path:
        """Nothing is on disk before."""
        assert self._checkpoint is not None
        dense_folder, target = self._checkpoint
        return save_checkpoint(self._model, dense_folder, target, self._changed)

    def then_read(self, checkpoint: Path) -> None:
        """The model holds them already."""
