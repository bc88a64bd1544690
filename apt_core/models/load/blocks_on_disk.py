"""Decoder blocks that stay on disk: a block's weights are read when it is needed and dropped afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from apt_core.base import hardware
from apt_core.models.load.weight_files import WeightFiles

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class BlocksOnDisk:
    """The blocks of a model that was built without their weights (`models.skeleton`).

    blocks: the model's own modules. prefix: what their names begin with, such as "model.layers.".
    dtype: the float type of each tensor, by its name.
    rest: names of the tensors beside the blocks (embedding, last norm, head), which are in memory.
    all_fit: is there room for all of them at the same time? They stay on disk all the same, because a run has better
    uses for memory; but then `all_there` can be asked for.
    """

    all_fit = False

    def __init__(
        self,
        model: PreTrainedModel,
        blocks: nn.ModuleList,
        prefix: str,
        files: WeightFiles,
        dtype: Callable[[str], torch.dtype],
        device: torch.device | str,
        rest: Sequence[str],
    ):
        self.blocks = blocks
        self._model = model
        self._rest = rest
        self.prefix = prefix
        self._files = files
        self._dtype = dtype
        self._device = device

    @contextmanager
    def block(self, index: int) -> Iterator[nn.Module]:
        """The block with its weights in memory, for as long as this context lasts; what was changed is lost."""
        block = self.blocks[index]
        empty = [(module, key, old) for module, key, _, old in _slots(block)]
        try:
            self.fill(index)
            yield block
        finally:
            for module, key, old in empty:
                put(module, key, old)

    @contextmanager
    def all_there(self) -> Iterator[None]:
        """Every block with its weights in memory, so that the model can be called as it is."""
        with ExitStack() as every:
            for index in range(len(self.blocks)):
                every.enter_context(self.block(index))
            yield

    @contextmanager
    def rest_away(self) -> Iterator[None]:
        """Nothing of the model in memory but the block that is asked for: neither embedding nor head.

        They come back from the files when the context ends well; where a run has failed nobody needs them.
        """
        parameters = dict(self._model.named_parameters(remove_duplicate=False))
        for name in parameters.keys() & set(self._rest):
            put_by_name(self._model, name, parameters[name].to("meta"))
        del parameters
        self._model.tie_weights()
        with self._sparing():
            yield
        self.fill_rest()

    @contextmanager
    def _sparing(self) -> Iterator[None]:
        """Where blocks are pruned a run's memory is at its peak; where all fits, time counts elsewhere."""
        hardware.trim_heap()
        if self.all_fit:
            hardware.give_back_freed_memory(hardware.SPARING)
        yield
        if self.all_fit:
            hardware.give_back_freed_memory(hardware.ROOMY)
        hardware.trim_heap()

    def fill_rest(self) -> None:
        """Read what is beside the blocks, one tensor at a time: see `WeightFiles.read`."""
        for name in self._rest:
            put_by_name(self._model, name, self._files.read([name], self._dtype, self._device)[name])
        self._model.tie_weights()

    def fill(self, index: int) -> None:
        """Read the weights of one block for good."""
        block = self.blocks[index]
        start = self.name(index, "")
        slots = {start + name: (module, key) for module, key, name, _ in _slots(block)}
        for name, tensor in self._files.read(list(slots), self._dtype, self._device).items():
            put(*slots[name], tensor)

    def name(self, index: int, inside: str) -> str:
        """What the files call a tensor of a block."""
        return f"{self.prefix}{index}.{inside}"

    def read_from(self, folder: Path) -> None:
        """From here on read the weights of another checkpoint of the same model."""
        self._files = WeightFiles(folder)


def _slots(block: nn.Module) -> Iterator[tuple[nn.Module, str, str, Tensor]]:
    """(module, its attribute, name inside the block, tensor) of everything that a checkpoint holds."""
    stored = block.state_dict(keep_vars=True)
    for path, module in block.named_modules():
        for key, tensor in [*module._parameters.items(), *module._buffers.items()]:
            name = f"{path}.{key}" if path else key
            if name in stored:
                yield module, key, name, tensor


def put_by_name(model: nn.Module, name: str, tensor: Tensor) -> None:
    path, _, key = name.rpartition(".")
    put(model.get_submodule(path), key, tensor)


def put(module: nn.Module, key: str, tensor: Tensor) -> None:
    """Make `tensor` the module's parameter or buffer of this name."""
    if key in module._buffers:
        module._buffers[key] = tensor
    elif isinstance(tensor, nn.Parameter):
        module._parameters[key] = tensor
    else:
        module._parameters[key] = nn.Parameter(tensor, requires_grad=False)
