"""Linear maps whose weight transformers multiplies with itself, so that no hook of their module ever fires.

Mamba computes `dt_proj.weight @ inputs`. `Called` is the same map as a module that is called; while a block is
calibrated, `StandIn` answers for the weight and sends whatever is multiplied with it through that module.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Called(nn.Module):
    """y = weight x, without the bias, which transformers adds where it likes. The weight stays its owner's."""

    def __init__(self, owner: nn.Linear):
        super().__init__()
        self.__dict__["owner"] = owner  # not as a submodule: it has its place in the model

    @property
    def weight(self) -> nn.Parameter:
        return self.owner._parameters["weight"]  # as it is now: blocks on disk come and go

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs, self.weight)


class _Weight:
    """Stands for a weight [out, in] that is multiplied with [..., in, tokens]."""

    def __init__(self, called: Called):
        self._called = called

    def __matmul__(self, inputs: Tensor) -> Tensor:
        return self._called(inputs.transpose(-1, -2)).transpose(-1, -2)


class StandIn:
    """Until `remove`, whoever multiplies with the owner's weight, or calls the owner, calls `called`."""

    def __init__(self, called: Called):
        self._called = called
        self._before = called.owner.__dict__.get("forward")  # a hook of accelerate, where there is one
        called.owner.__dict__["weight"] = _Weight(called)  # found before the module's own parameters
        called.owner.forward = self.forward

    def remove(self) -> None:
        del self._called.owner.__dict__["weight"]
        del self._called.owner.forward
        if self._before is not None:
            self._called.owner.forward = self._before

    def forward(self, inputs: Tensor) -> Tensor:
        bias = self._called.owner.bias
        answer = self._called(inputs)
        return answer if bias is None else answer + bias
