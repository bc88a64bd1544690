"""LoRA by peft: a dense update of low rank beside each weight, masked when it is merged (arXiv 2106.09685).

The update B A fills the zeros, so training sees a dense layer; what lies on pruned weights is lost when the mask is
applied at the end, and the run says how much that is.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from apt_core.base.errors import BadInput
from apt_core.base.lazy import lazy
from apt_core.base.words import percent
from apt_core.methods.recovery.base import (
    Attached,
    Merged,
    Recovery,
    Sizes,
    TrainingWork,
    check_pruned,
    owners,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from apt_core.families import Layer
else:
    torch = lazy("torch")
peft: Any = lazy("peft")


class Lora(Recovery):
    """A dense update of low rank is learnt; the mask is applied again when it is merged, which loses a part of it."""

    name: ClassVar[str] = "lora"
    title: ClassVar[str] = "LoRA, masked"
    source: ClassVar[str] = "Hu et al. 2021, arXiv 2106.09685; recipe of LLM-Pruner, arXiv 2305.11627"
    summary: ClassVar[str] = (
        "A small dense update is learnt beside each weight; its part on zeros is lost at the end."
    )
    place: ClassVar[int] = 20

    learning_rate: float = Field(
        default=3e-4, gt=0, le=1, title="Learning rate", description="the largest, after the warm-up"
    )
    rank: int = Field(default=8, ge=1, le=256, title="Rank", description="of the update")
    alpha: float = Field(
        default=16.0, gt=0, le=1000, title="Alpha", description="the update counts alpha / rank"
    )
    dropout: float = Field(default=0.05, ge=0, lt=1, title="Dropout", description="of the update's inputs")

    def attach(self, model: nn.Module, layers: Sequence[Layer]) -> Attached:
        check_installed()
        check_pruned(layers, "LoRA")
        adapted = [layer for layer in layers if not _is_read_by_kernels(layer, model)]
        if not adapted:
            raise BadInput("peft can adapt none of the pruned layers of this model; choose spp.")
        return _Adapted(
            self, model, adapted, sorted({one.name for one in layers} - {one.name for one in adapted})
        )

    def work(self, sizes: Sizes) -> TrainingWork:
        """No gradients of the weights themselves."""
        trained = sum(self.rank * (one.in_features + one.out_features) for one in sizes.layers) * sizes.blocks
        return TrainingWork(trained, 4.0 * (sizes.prunable + sizes.head) + 6.0 * trained)


def check_installed() -> None:
    """Raise BadInput with what to do where peft is missing."""
    if importlib.util.find_spec("peft") is None:
        raise BadInput("LoRA needs the package peft; install it with 'pip install peft', or choose spp.")


# The families of peft's own check, and what it refuses in them.
_STATE_SPACE = ("mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h")
_READ_BY_KERNELS = "out_proj"


def _is_read_by_kernels(layer: Layer, model: nn.Module) -> bool:
    """Fused kernels of state space mixers read this weight past the adapter, so peft refuses to put one there."""
    kind = getattr(getattr(model, "config", None), "model_type", None)
    return kind in _STATE_SPACE and layer.name.rpartition(".")[2] == _READ_BY_KERNELS


class _Adapted(Attached):
    """peft's layers in place of the linear ones. without: names of layers that stay as they are."""

    def __init__(self, options: Lora, model: nn.Module, layers: Sequence[Layer], without: Sequence[str]):
        held = owners(model)
        self._names = [held[id(layer.parameter)][0] for layer in layers]
        self._inside = [held[id(layer.parameter)][2] for layer in layers]
        self._kept = [layer.parameter.detach() != 0 for layer in layers]
        self._model = model
        config = peft.LoraConfig(
            r=options.rank,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            target_modules=list(dict.fromkeys(self._names)),
            bias="none",
        )
        peft.inject_adapter_in_model(config, model)
        super().__init__({name: one for name, one in model.named_parameters() if one.requires_grad})
        if without:
            names = ", ".join(without)
            self.note = f"peft adapts no {names} of this family, so LoRA leaves these weights as they are."

    def train(self, training: bool) -> None:
        for name in self._names:
            self._model.get_submodule(name).train(training)

    def merge(self) -> Merged:
        """W + B A in float32 by peft, then the mask; the wrapped layers go back to their places."""
        before, lost, changed = 0.0, 0.0, set()
        for name, inside, kept in zip(self._names, self._inside, self._kept, strict=True):
            wrapper: Any = self._model.get_submodule(name)
            weight = wrapper.get_base_layer().get_parameter(inside)
            own = weight.detach().clone()
            wrapper.merge()
            update = weight.detach() - own
            before += float(update.square().sum())
            lost += float((update * ~kept).square().sum())
            _mask_(weight, kept)
            _put_back(self._model, name, wrapper.get_base_layer())
            changed.add(f"{name}.{inside}")
        share = lost / before if before else 0.0
        note = (
            "The update of LoRA also fills zeros; the mask was applied again when it was merged, which took "
            f"{percent(share)} of the update's square norm."
        )
        return Merged(frozenset(changed), note)


def _mask_(weight: Tensor, kept: Tensor) -> None:
    with torch.no_grad():
        weight.mul_(kept)
    weight.requires_grad_(False)


def _put_back(model: nn.Module, name: str, layer: nn.Module) -> None:
    above, _, last = name.rpartition(".")
    setattr(model.get_submodule(above) if above else model, last, layer)
