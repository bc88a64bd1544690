"""Decoder blocks that stay on disk: a block's weights are read when it is needed and dropped afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate.utils import set_module_tensor_to_device
from torch import Tensor, nn

from apt_core.base import hardware
from apt_core.models.checkpoint.in_place import PatchedCheckpoint
from apt_core.models.load.tensor_store import ScratchTensors, TensorStore
from apt_core.models.load.weight_files import WeightFiles
from apt_core.models.load.weight_store import prefix_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_NOT_MEASURED = "The weights are read from disk block by block, so decoding speed is not measured."


class DiskStore:
    """The blocks of a model that was built without their weights (`models.load.skeleton`).

    dtype: the float type of each tensor, by its name.
    rest: names of the tensors beside the blocks (embedding, last norm, head), which are in memory.
    room_for_all: do all blocks fit into memory? They still stay on disk, because a run has better uses for
    memory; but then `all_loaded` can be asked for.
    """

    reads_anew = True

    def __init__(
        self,
        model: PreTrainedModel,
        blocks: nn.ModuleList,
        files: WeightFiles,
        dtype: Callable[[str], torch.dtype],
        device: torch.device | str,
        rest: Sequence[str],
        room_for_all: bool = False,
    ):
        self.blocks = blocks
        self.notice = None if room_for_all else _NOT_MEASURED
        self._model = model
        self._prefix = prefix_of(model, blocks)
        self._files = files
        self._dtype = dtype
        self._device = device
        self._rest = rest
        self._room_for_all = room_for_all
        self._checkpoint: PatchedCheckpoint | None = None

    @contextmanager
    def block(self, index: int) -> Iterator[nn.Module]:
        """Read when the context begins; when it ends, what was changed and not committed is lost."""
        try:
            self.fill(index)
            yield self.blocks[index]
        finally:
            self._empty(index)

    @contextmanager
    def all_loaded(self) -> Iterator[str | None]:
        if not self._room_for_all:
            yield "the blocks are read from disk one at a time"
            return
        hardware.trim_heap()
        with ExitStack() as every:
            for index in range(len(self.blocks)):
                every.enter_context(self.block(index))
            yield None
        hardware.trim_heap()

    @contextmanager
    def rest_away(self) -> Iterator[None]:
        """Nothing of the model is in memory but the block that is asked for: neither embedding nor head.

        They come back from the files when the context ends well; where a run has failed nobody needs them.
        """
        parameters = dict(self._model.named_parameters(remove_duplicate=False))
        for name in parameters.keys() & set(self._rest):
            _drop(self._model, name)
        del parameters
        self._model.tie_weights()
        with self._sparing():
            yield
        self.fill_rest()

    @contextmanager
    def _sparing(self) -> Iterator[None]:
        """Where blocks are pruned a run's memory is at its peak; where all fits, time counts elsewhere."""
        hardware.trim_heap()
        if self._room_for_all:
            hardware.give_back_freed_memory(hardware.SPARING)
        yield
        if self._room_for_all:
            hardware.give_back_freed_memory(hardware.ROOMY)
        hardware.trim_heap()

    @contextmanager
    def scratch(self, folder: Path) -> Iterator[Callable[[str], TensorStore]]:
        """Files beside the run, because /tmp can be memory as well.

        Their folder's name is that of a checkpoint, so that what a killed run left there goes with its half-written
        weights.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="checkpoint.scratch-", dir=folder) as place:
            yield lambda name: ScratchTensors(Path(place) / name, self._device)

    @contextmanager
    def writing(self, dense_folder: Path, target: Path) -> Iterator[None]:
        try:
            with PatchedCheckpoint(dense_folder, target) as self._checkpoint:
                yield
        finally:
            self._checkpoint = None

    def commit(self, index: int, changed: Collection[str]) -> None:
        for inside in sorted(changed):
            weight = self.blocks[index].get_parameter(inside).detach()
            assert self._checkpoint is not None
            self._checkpoint.replace(self._name(index, inside), weight)

    def finish(self) -> Path:
        assert self._checkpoint is not None
        return self._checkpoint.finish()

    def then_read(self, checkpoint: Path) -> None:
        self._files = WeightFiles(checkpoint)

    def fill_rest(self) -> None:
        """Read what is beside the blocks, one tensor at a time: see `WeightFiles.read`."""
        for name in self._rest:
            place(self._model, name, self._files.read([name], self._dtype, self._device)[name])
        self._model.tie_weights()

    def fill(self, index: int) -> None:
        """Read the weights of one block for good."""
        start = self._name(index, "")
        names = [start + inside for inside in self.blocks[index].state_dict()]
        for name, tensor in self._files.read(names, self._dtype, self._device).items():
            place(self.blocks[index], name.removeprefix(start), tensor)

    def _empty(self, index: int) -> None:
        for inside in self.blocks[index].state_dict():
            _drop(self.blocks[index], inside)

    def _name(self, index: int, inside: str) -> str:
        """What the files call a tensor of a block."""
        return f"{self._prefix}{index}.{inside}"


def place(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Make `tensor`, in its own type and on its own device, the parameter or buffer of this name."""
    set_module_tensor_to_device(module, name, tensor.device, tensor, dtype=tensor.dtype, clear_cache=False)


def _drop(module: nn.Module, name: str) -> None:
    """Leave only the shape of a parameter or buffer."""
    set_module_tensor_to_device(module, name, "meta")
