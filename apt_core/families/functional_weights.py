"""Weights that transformers multiplies with as tensors, so that no hook of their module ever fires.

Mamba computes `dt_proj.weight @ inputs`. `FunctionalLinear` is the same map as a module that is called; until it is
removed, a `ModuleProxy` stands in the place of the weight and sends whatever is multiplied with it through that module.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class FunctionalLinear(nn.Module):
    """y = weight x, without the bias, which transformers adds elsewhere. The weight stays its owner's."""

    owner: nn.Linear

    def __init__(self, owner: nn.Linear):
        super().__init__()
        self.__dict__["owner"] = owner  # not as a submodule: it has its place in the model

    @property
    def weight(self) -> nn.Parameter:
        weight = self.owner._parameters["weight"]  # as it is now: blocks on disk come and go
        assert weight is not None
        return weight

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs, self.weight)


class _WeightProxy:
    """A weight [out, in] whose product with [..., in, tokens] is computed by a module."""

    def __init__(self, linear: FunctionalLinear):
        self._linear = linear

    def __matmul__(self, inputs: Tensor) -> Tensor:
        return self._linear(inputs.transpose(-1, -2)).transpose(-1, -2)


class ModuleProxy:
    """Until `remove`, multiplying with the owner's weight, or calling the owner, calls `linear`."""

    def __init__(self, linear: FunctionalLinear):
        self._linear = linear
        self._before = linear.owner.__dict__.get("forward")  # a hook of accelerate, where there is one
        linear.owner.__dict__["weight"] = _WeightProxy(linear)  # found before the module's own parameters
        linear.owner.__dict__["forward"] = self.forward

    def remove(self) -> None:
        del self._linear.owner.__dict__["weight"]
        del self._linear.owner.__dict__["forward"]
        if self._before is not None:
            self._linear.owner.__dict__["forward"] = self._before

    def forward(self, inputs: Tensor) -> Tensor:
        bias = self._linear.owner.bias
        answer = self._linear(inputs)
        return answer if bias is None else answer + bias
