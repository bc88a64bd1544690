"""A model without its decoder blocks: what comes in front of them, and what comes behind.

Blocks are computed one after the other, all windows through one before the next; the embedding, the masks and
the head stay the model's own code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from apt_core.base.limits import rows_of_logits
from apt_core.models.load.weight_store import WeightStore

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class _Answered(Exception):
    """The first block has answered."""


class EmbeddingAndHead:
    """rest: what a block returns behind the hidden states; None when it returns them bare."""

    def __init__(self, model: PreTrainedModel, blocks: nn.ModuleList, rest: tuple[Any, ...] | None):
        self._model = model
        self._blocks = blocks
        self._rest = rest

    @classmethod
    @torch.no_grad()
    def of(cls, model: PreTrainedModel, store: WeightStore) -> EmbeddingAndHead:
        """Calls the first block once, with two tokens, for the form of its answer."""
        answers: list[Any] = []

        def see(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
            answers.append(output)
            raise _Answered

        with store.block(0) as first:
            hook = first.register_forward_hook(see)
            try:
                device = next(model.parameters()).device
                model(input_ids=torch.zeros(1, 2, dtype=torch.long, device=device), use_cache=False)
            except _Answered:
                pass
            finally:
                hook.remove()
        answer = answers[0]
        return cls(model, store.blocks, answer[1:] if isinstance(answer, tuple) else None)

    @contextmanager
    def skip_blocks(self, leaving: Tensor | None = None) -> Iterator[None]:
        """Inside, every block returns its input unchanged, and the last one `leaving` where that is given."""
        before = [block.__dict__.get("forward") for block in self._blocks]
        for block in self._blocks:
            block.forward = self._identity(None)
        self._blocks[-1].forward = self._identity(leaving)
        try:
            yield
        finally:
            for block, own in zip(self._blocks, before, strict=True):
                del block.forward
                if own is not None:
                    block.forward = own

    def logits(self, tokens: Tensor, leaving: Tensor) -> Tensor:
        """The head's answer to `leaving` [batch, length, hidden], the states behind the last block."""
        with self.skip_blocks(leaving):
            logits: Tensor = self._model(input_ids=tokens, use_cache=False).logits
        return logits

    def parts(self, positions: int) -> Iterator[slice]:
        """Stretches of so many positions, each short enough that its logits take little memory."""
        rows = rows_of_logits(self._model.config.get_text_config().vocab_size)
        return (slice(start, min(start + rows, positions)) for start in range(0, positions, rows))

    def _identity(self, instead: Tensor | None) -> Callable[..., Any]:
        def forward(hidden_states: Tensor, *_: Any, **__: Any) -> Any:
            states = hidden_states if instead is None else instead
            return states if self._rest is None else (states, *self._rest)

        return forward
