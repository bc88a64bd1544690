"""Distillation from the dense model with fixed masks: the strongest honest reference.

    loss = mean over tokens of KL(dense || pruned)

Every kept weight of the pruned layers is trained, so this is what the mask can give with this text and these steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from apt_core.base.cost import FLOAT
from apt_core.base.lazy import lazy
from apt_core.methods.recovery.base import Attached, MaskedTraining, Recovery, Sizes, TrainingWork

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from apt_core.families import Layer
else:
    torch = lazy("torch")


class Distill(Recovery):
    """Every kept weight is trained so that next-token distributions become those of the dense model."""

    name: ClassVar[str] = "distill"
    title: ClassVar[str] = "Distillation"
    source: ClassVar[str] = "Hinton et al. 2015, arXiv 1503.02531"
    summary: ClassVar[str] = (
        "Every kept weight learns to predict what the dense model predicts; zeros stay zeros."
    )
    place: ClassVar[int] = 40
    needs_dense: ClassVar[bool] = True

    learning_rate: float = Field(
        default=1e-4, gt=0, le=1, title="Learning rate", description="the largest, after the warm-up"
    )

    def attach(self, model: nn.Module, layers: Sequence[Layer]) -> Attached:
        pruned = {id(layer.parameter) for layer in layers}
        trained = {name: one for name, one in model.named_parameters() if id(one) in pruned}
        return MaskedTraining(trained, trained.values())

    def loss(self, logits: Tensor, tokens: Tensor, dense: Tensor | None) -> Tensor:
        assert dense is not None
        return divergence(logits[:, :-1], dense[:, :-1])

    def work(self, sizes: Sizes) -> TrainingWork:
        """The dense model's forward besides; its weights and the masks are held."""
        products = 8.0 * sizes.prunable + 6.0 * sizes.head
        held = sizes.prunable + FLOAT * (sizes.prunable + 2.0 * sizes.head)
        return TrainingWork(sizes.prunable, products, held)


def divergence(logits: Tensor, dense: Tensor) -> Tensor:
    """KL(dense || pruned) in nats, mean over all positions, in float32. [n, positions, vocab] each."""
    ours = torch.log_softmax(logits.float(), dim=-1).flatten(0, 1)
    theirs = torch.log_softmax(dense.float(), dim=-1).flatten(0, 1)
    return torch.nn.functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
