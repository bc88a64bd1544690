"""Partial fine-tuning: the output head and the last blocks alone (arXiv 2411.15558)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import Field

from apt_core.base.cost import FLOAT
from apt_core.methods.recovery.base import (
    Attached,
    MaskedTraining,
    Recovery,
    Sizes,
    TrainingWork,
)

if TYPE_CHECKING:
    from torch import nn

    from apt_core.families import Layer


class Partial(Recovery):
    """The output head, the last norm and the last blocks are trained; pruned weights stay zero."""

    name: ClassVar[str] = "partial"
    title: ClassVar[str] = "Last blocks"
    source: ClassVar[str] = "Lu et al. 2024, arXiv 2411.15558"
    summary: ClassVar[str] = (
        "Only the output head and the last blocks are trained; the rest of the model stays."
    )
    place: ClassVar[int] = 30

    learning_rate: float = Field(
        default=1e-4,
        gt=0,
        le=1,
        title="Learning rate",
        description="the largest, after the warm-up; the paper's 1e-5 is for thousands of larger batches",
    )
    blocks: int = Field(
        default=3, ge=0, le=1000, title="Blocks", description="from the last; the paper has 3"
    )

    def attach(self, model: nn.Module, layers: Sequence[Layer]) -> Attached:
        last = max(layer.block for layer in layers) + 1 - self.blocks
        chosen = _outside_blocks(model) | {
            name: parameter
            for name, parameter in model.named_parameters()
            if (block := _block_of(name)) is not None and block >= last
        }
        attached = MaskedTraining(chosen, [layer.parameter for layer in layers])
        if _head_of(model).weight is _embedding_of(model).weight:
            attached.note = (
                "The output head shares its weights with the input embedding, so both are trained."
            )
        return attached

    def work(self, sizes: Sizes) -> TrainingWork:
        inside = sizes.prunable * min(self.blocks, sizes.blocks) // max(1, sizes.blocks)
        trained = inside + sizes.head
        return TrainingWork(trained, 2.0 * sizes.prunable + 4.0 * inside + 6.0 * sizes.head, inside / FLOAT)


def _outside_blocks(model: nn.Module) -> dict[str, nn.Parameter]:
    """The head, and what lies between the last block and it: the final norm. By their first names."""
    head = {id(parameter) for parameter in _head_of(model).parameters()}
    embedding = {id(parameter) for parameter in _embedding_of(model).parameters()}
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if _block_of(name) is None
        and (id(parameter) in head or (parameter.ndim == 1 and id(parameter) not in embedding))
    }


def _head_of(model: nn.Module) -> nn.Module:
    head: nn.Module = cast(Any, model).get_output_embeddings()
    return head


def _embedding_of(model: nn.Module) -> nn.Module:
    embedding: nn.Module = cast(Any, model).get_input_embeddings()
    return embedding


def _block_of(name: str) -> int | None:
    """3 of 'model.layers.3.mlp.up_proj.weight'"""
    return next((int(word) for word in name.split(".") if word.isdigit()), None)
