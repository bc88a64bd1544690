"""What a recovery is: which numbers of a pruned model are trained, on which loss, and how they are merged.

A recovery is one file of this folder: its fields are its options, its needs are its own words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from apt_core.base.errors import BadInput
from apt_core.base.lazy import lazy
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Named

if TYPE_CHECKING:  # the page reads the options without loading torch
    import torch
    from torch import Tensor, nn

    from apt_core.families import Layer
    from apt_core.methods import registry
else:
    torch = lazy("torch")
    registry = lazy("apt_core.methods.registry")


class Sizes(NamedTuple):
    """The measures of a model that its training depends on. layers: of one block."""

    layers: tuple[LayerShape, ...]
    blocks: int
    prunable: int  # weights of the linear layers in all blocks
    head: int  # weights of the output head


class TrainingWork(NamedTuple):
    """What training takes beside the model itself. products: FLOPs of one token; held: bytes beside the weights and
    what is trained, for as long as it is trained."""

    trained: int
    products: float
    held: float = 0.0


class Merged(NamedTuple):
    """What is in the model's own parameters now. changed: their names; note: what a user should know, or nothing."""

    changed: frozenset[str]
    note: str = ""


class Attached:
    """A recovery attached to a model. trained: the parameters that the optimiser moves, by name.

    Subclasses say how these become the model's own weights.
    """

    note: str = ""  # what a user should know before it begins

    def __init__(self, trained: dict[str, nn.Parameter]):
        self.trained = trained

    def keep_zeros(self) -> None:
        """Called after each step: what was pruned is zero again."""

    def train(self, training: bool) -> None:
        """Switch dropout on or off, where there is some."""

    def merge(self) -> Merged:
        """Put what was learnt into the weights, in float32; nothing of the recovery stays in the model."""
        raise NotImplementedError


class Recovery(Named):
    """Which numbers of a pruned model are trained to lower the loss, while what was pruned stays zero."""

    needs_dense: ClassVar[bool] = False  # does the loss compare with the dense model?
    takes: ClassVar[str] = "minutes to hours of training"

    learning_rate: float = Field(
        gt=0, le=1, title="Learning rate", description="the largest, after the warm-up"
    )
    weight_decay: float = Field(default=0.0, ge=0, le=1, title="Weight decay", description="of AdamW")

    @property
    def label(self) -> str:
        return self.title

    def attach(self, model: nn.Module, layers: Sequence[Layer]) -> Attached:
        """Make the model trainable. model: in float32, without gradients; layers: its pruned ones."""
        raise NotImplementedError

    def loss(self, logits: Tensor, tokens: Tensor, dense: Tensor | None) -> Tensor:
        """Mean over predicted tokens. logits, dense: [n, length, vocab]; tokens: [n, length]."""
        return next_token_loss(logits, tokens)

    def work(self, sizes: Sizes) -> TrainingWork:
        """What training takes by this method."""
        raise NotImplementedError

    @classmethod
    def members(cls) -> list[type[Named]]:
        return list(registry.RECOVERIES.values()) if cls is Recovery else []


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Mean negative log-likelihood of tokens 2..length, log-softmax in float32."""
    predicted = logits[:, :-1].float().flatten(0, 1)
    return torch.nn.functional.cross_entropy(predicted, tokens[:, 1:].flatten())


def check_pruned(layers: Sequence[Layer], what: str) -> None:
    """Raise BadInput where a method that wraps linear layers meets experts that are one tensor."""
    fused = next((layer for layer in layers if layer.experts is not None), None)
    if fused is not None:
        raise BadInput(
            f"{what} wraps linear layers, but {fused.name} is a slice of experts that are stored as one tensor; "
            "choose distill or partial."
        )


def owners(model: nn.Module) -> dict[int, tuple[str, nn.Module, str]]:
    """id of a parameter -> (name of the module that holds it, the module, the parameter's name in it)."""
    return {
        id(parameter): (name, module, inside)
        for name, module in model.named_modules()
        for inside, parameter in module.named_parameters(recurse=False)
    }


class MaskedTraining(Attached):
    """The model's own parameters are trained; those that were pruned keep their zeros.

    A pruned weight's gradient is set to zero before the optimiser sees it, so that its moments are zero too, and the
    weight once more after each step.
    """

    def __init__(self, trained: dict[str, nn.Parameter], pruned: Iterable[nn.Parameter]):
        super().__init__(trained)
        of_layers = {id(parameter) for parameter in pruned}
        self._kept: list[tuple[nn.Parameter, Tensor]] = []
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        for parameter in trained.values():
            parameter.requires_grad_(True)
            if id(parameter) in of_layers:
                kept = parameter.detach() != 0
                self._kept.append((parameter, kept))
                register: Any = parameter.register_post_accumulate_grad_hook
                self._hooks.append(register(_masked_by(kept)))

    def keep_zeros(self) -> None:
        with torch.no_grad():
            for parameter, kept in self._kept:
                parameter.mul_(kept)

    def merge(self) -> Merged:
        self.keep_zeros()
        for hook in self._hooks:
            hook.remove()
        for parameter in self.trained.values():
            parameter.requires_grad_(False)
            parameter.grad = None
        return Merged(frozenset(self.trained))


class _masked_by:
    """A hook that takes the gradient of pruned weights away."""

    def __init__(self, kept: Tensor):
        self._kept = kept

    def __call__(self, parameter: Tensor) -> None:
        if parameter.grad is not None:
            parameter.grad.mul_(self._kept)
