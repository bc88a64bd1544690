"""The input of the first block: the hidden states of all windows, and the other arguments of each block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from apt_core.passes.arguments import Arguments, marked, read_embeddings


class _Reached(Exception):
    """The forward pass has come as far as it is needed."""


class Entering(NamedTuple):
    """Windows in front of the first block.

    states: [windows, length, hidden] in the dtype of the model's residual stream.
    arguments: for every block, the positional and keyword arguments that the decoder passes beside the hidden states
    (rotary tables, masks), captured once with one window: windows have equal length and no padding, so they hold for
    any batch.
    embeddings: the states as they are here, where a block reads them again; None otherwise.
    """

    states: Tensor
    arguments: list[Arguments]
    embeddings: Tensor | None = None

    @classmethod
    @torch.no_grad()
    def of(cls, model: nn.Module, blocks: nn.ModuleList, windows: Tensor, batch: int) -> Entering:
        """windows: [windows, length] token ids on the model's device."""
        arguments, dtype = _block_arguments(model, blocks, windows[:1])
        states: Tensor | None = None
        for start in range(0, len(windows), batch):
            found = _entering_first_block(model, blocks[0], windows[start : start + batch])
            if states is None:
                states = found.new_empty(len(windows), *found.shape[1:], dtype=dtype)
            states[start : start + batch] = found
        assert states is not None
        read_again = any(map(read_embeddings, arguments))
        return cls(states, arguments, states.to(found.dtype, copy=True) if read_again else None)

    def first(self, windows: int) -> Entering:
        """Of the first so many windows; the same memory."""
        embeddings = None if self.embeddings is None else self.embeddings[:windows]
        return Entering(self.states[:windows], self.arguments, embeddings)


def _entering_first_block(model: nn.Module, first: nn.Module, windows: Tensor) -> Tensor:
    caught: list[Tensor] = []

    def catch(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caught.append(args[0] if args else kwargs["hidden_states"])
        raise _Reached

    hook = first.register_forward_pre_hook(catch, with_kwargs=True)
    try:
        model(input_ids=windows, use_cache=False)
    except _Reached:
        return caught[0]
    finally:
        hook.remove()
    raise RuntimeError("The model never called its first decoder block.")


def _block_arguments(
    model: nn.Module, blocks: nn.ModuleList, window: Tensor
) -> tuple[list[Arguments], torch.dtype]:
    """What the decoder hands to each block beside the hidden states; blocks can differ (sliding windows).

    Also the dtype of the hidden states that reach the last block: some keep them in float32 (Mamba).
    """
    found: dict[int, Arguments] = {}
    states: list[Tensor] = []  # that enter the first block, and the newest
    hooks = []
    last = len(blocks) - 1

    def catcher(index: int) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def catch(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            states[index > 0 :] = [args[0] if args else kwargs["hidden_states"]]
            rest = {key: value for key, value in kwargs.items() if key != "hidden_states"}
            found[index] = marked((tuple(args[1:]), rest), states[0])
            if index == last:
                raise _Reached

        return catch

    for index, block in enumerate(blocks):
        hooks.append(block.register_forward_pre_hook(catcher(index), with_kwargs=True))
    try:
        model(input_ids=window, use_cache=False)
    except _Reached:
        return [found[index] for index in range(len(blocks))], states[-1].dtype
    finally:
        for hook in hooks:
            hook.remove()
    raise RuntimeError("The model never called its last decoder block.")
