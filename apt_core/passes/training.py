"""Training by a plain loop: which windows a step reads, at what learning rate, and the step itself.

Everything random of a step follows from the seed and the step's number, so that a run that goes on from a kept state
does exactly what it would have done.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from apt_core.base.errors import RunFailed
from apt_core.families import differentiable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
_MOMENTS = ("exp_avg", "exp_avg_sq")
_PRIME = 1_000_003  # keeps the seeds of neighbouring steps apart


def rate_at(step: int, steps: int, warm_up: float, largest: float) -> float:
    """The learning rate of step 1..steps: a straight rise over the warm-up, then half a cosine down towards 0."""
    rising = round(warm_up * steps)
    if step <= rising:
        return largest * step / max(1, rising)
    return largest * 0.5 * (1 + math.cos(math.pi * (step - rising - 1) / max(1, steps - rising)))


def windows_of(step: int, windows: int, batch: int, seed: int) -> list[int]:
    """Which windows step 1, 2 ... reads: all of them in a drawn order, then all of them in another."""
    found = []
    for place in range((step - 1) * batch, step * batch):
        order = _order(windows, seed + _PRIME * (place // windows))
        found.append(order[place % windows])
    return found


def _order(windows: int, seed: int) -> list[int]:
    drawn: list[int] = torch.randperm(windows, generator=torch.Generator().manual_seed(seed)).tolist()
    return drawn


class Plan(NamedTuple):
    """How a model is trained. windows: [n, length] token ids."""

    steps: int
    warm_up: float
    largest_rate: float
    weight_decay: float
    clip: float
    batch: int
    seed: int
    windows: Tensor


class Trainer:
    """AdamW over the parameters that are trained, a step at a time. dense: the model that the loss compares with."""

    def __init__(
        self,
        model: PreTrainedModel,
        trained: dict[str, nn.Parameter],
        loss: Loss,
        plan: Plan,
        dense: PreTrainedModel | None = None,
        half: bool = False,
    ):
        """half: forwards in bfloat16, weights in float32."""
        self._model, self._trained, self._loss, self._plan, self._dense = model, trained, loss, plan, dense
        self._device = next(model.parameters()).device
        self._half = half
        self._optimiser = torch.optim.AdamW(
            list(trained.values()), lr=plan.largest_rate, weight_decay=plan.weight_decay, betas=(0.9, 0.999)
        )

    def rate(self, step: int) -> float:
        return rate_at(step, self._plan.steps, self._plan.warm_up, self._plan.largest_rate)

    def step(self, step: int) -> float:
        """Do step 1, 2 ...; returns its loss. Raises RunFailed where that is not finite."""
        plan = self._plan
        torch.manual_seed(plan.seed + _PRIME * step)  # dropout
        tokens = plan.windows[windows_of(step, len(plan.windows), plan.batch, plan.seed)].to(self._device)
        in_half = torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._half)
        with differentiable(), in_half:
            loss = self._loss(self._model(tokens, use_cache=False).logits, tokens, self._of_dense(tokens))
        if not math.isfinite(loss.item()):
            raise RunFailed(
                f"The training loss is not finite any more at step {step}; use a smaller learning rate."
            )
        with differentiable():
            torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(list(self._trained.values()), plan.clip)
        for group in self._optimiser.param_groups:
            group["lr"] = self.rate(step)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return loss.item()

    def _of_dense(self, tokens: Tensor) -> Tensor | None:
        if self._dense is None:
            return None
        with torch.no_grad():
            logits: Tensor = self._dense(tokens, use_cache=False).logits
        return logits

    # --- what is kept of it ----------------------------------------------------------------------

    def tensors(self) -> dict[str, Tensor]:
        """The trained numbers and their moments, by name."""
        found = {f"trained/{name}": parameter.detach() for name, parameter in self._trained.items()}
        for name, parameter in self._trained.items():
            state = self._optimiser.state.get(parameter, {})
            found |= {f"{moment}/{name}": state[moment] for moment in _MOMENTS if moment in state}
        return found

    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        """As it was behind this step. Raises KeyError where the tensors are those of another training."""
        with torch.no_grad():
            for name, parameter in self._trained.items():
                parameter.copy_(tensors[f"trained/{name}"])
                if f"{_MOMENTS[0]}/{name}" in tensors:
                    moments = {one: tensors[f"{one}/{name}"].to(self._device) for one in _MOMENTS}
                    self._optimiser.state[parameter] = {"step": torch.tensor(float(step)), **moments}


@torch.no_grad()
def mean_loss(
    model: PreTrainedModel, windows: Tensor, loss: Callable[[Tensor, Tensor], Tensor], batch: int
) -> float:
    """Mean next-token loss of these windows, a few at a time."""
    device, found = next(model.parameters()).device, 0.0
    for some in torch.split(windows, batch):
        tokens = some.to(device)
        found += len(some) * loss(model(tokens, use_cache=False).logits, tokens).item()
    return found / len(windows)
