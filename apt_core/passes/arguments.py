"""What a decoder hands to a block beside the hidden states: the same for every window, but for one thing.

Rotary tables and masks depend on the length alone. A few families (Zamba2) hand every block the embeddings of
its own window again; those are marked when the arguments are caught and put in when a block is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from apt_core.base.lazy import lazy

if TYPE_CHECKING:
    from accelerate import utils as accelerate_utils
else:
    accelerate_utils = lazy("accelerate.utils")

Arguments = tuple[tuple[Any, ...], dict[str, Any]]  # positional, by name


class Embeddings:
    """Stands for the embeddings of whatever windows a block is called with."""


def marked(arguments: Arguments, entering: Tensor) -> Arguments:
    """entering: what enters the first block, so the embeddings of the windows these arguments came with."""

    def mark(argument: Any) -> Any:
        same = isinstance(argument, Tensor) and argument.shape == entering.shape
        return Embeddings if same and torch.equal(argument, entering) else argument

    return _each(mark, arguments)


def with_embeddings(arguments: Arguments, embeddings: Tensor | None) -> Arguments:
    return _each(lambda argument: embeddings if argument is Embeddings else argument, arguments)


def on_device(arguments: Arguments, device: torch.device) -> Arguments:
    """As they are where they are there already; tensors in tuples and dictionaries as well."""
    return _each(lambda argument: accelerate_utils.send_to_device(argument, device), arguments)


def read_embeddings(arguments: Arguments) -> bool:
    positional, named = arguments
    return any(argument is Embeddings for argument in (*positional, *named.values()))


def _each(change: Any, arguments: Arguments) -> Arguments:
    positional, named = arguments
    return tuple(map(change, positional)), {key: change(value) for key, value in named.items()}
