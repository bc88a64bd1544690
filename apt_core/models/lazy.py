"""Decoder blocks that stay on disk: a block's weights are read when it is needed and dropped afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from apt_core.models.weight_files import WeightFiles


class BlocksOnDisk:
    """The blocks of a model that was built without their weights (`models.skeleton`).

    blocks: the model's own modules. prefix: what their names begin with, such as "model.layers.".
    dtype: the float type of each tensor, by its name.
    """

    def __init__(
        self,
        blocks: nn.ModuleList,
        prefix: str,
        files: WeightFiles,
        dtype: Callable[[str], torch.dtype],
        device: torch.device | str,
    ):
        self.blocks = blocks
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


def put(module: nn.Module, key: str, tensor: Tensor) -> None:
    """Make `tensor` the module's parameter or buffer of this name."""
    if key in module._buffers:
        module._buffers[key] = tensor
    elif isinstance(tensor, nn.Parameter):
        module._parameters[key] = tensor
    else:
        module._parameters[key] = nn.Parameter(tensor, requires_grad=False)
