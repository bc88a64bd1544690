"""One matrix that can be pruned, whatever it is stored in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from apt_core.base.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import pytorch_utils

    from apt_core.families.experts import FusedExperts
else:
    torch, pytorch_utils = lazy("torch"), lazy("transformers.pytorch_utils")


class Layer(NamedTuple):
    """A linear map of a block: y = matrix x.

    module: what is called with the layer's input, so what a hook can halt: an nn.Linear, a Conv1D, (for an
    expert) an nn.Linear that shares the memory of its slice of `experts`, or (for a map that transformers never
    calls) a `FunctionalLinear`. parts: the names of the projections that its rows are, and how many rows each has.
    """

    block: int
    name: str  # inside the block, e.g. "self_attn.q_proj"
    module: nn.Module
    experts: FusedExperts | None = None  # the fused module that the matrix is a slice of
    parts: tuple[tuple[str, int], ...] = ()

    @property
    def matrix(self) -> Tensor:
        """[out, in], a view of the weight wherever it is stored."""
        weight = self._weight.detach()
        return weight.T if _is_conv1d(self.module) else weight

    @property
    def parameter(self) -> nn.Parameter:
        """The parameter of the model that holds the matrix, and for an expert those of its siblings."""
        if self.experts is None:
            return self._weight
        return self.experts.get_parameter(self.name.rsplit(".", 1)[-1])

    @property
    def _weight(self) -> nn.Parameter:
        weight = self.module.weight
        assert isinstance(weight, torch.nn.Parameter)
        return weight

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)"""
        rows, columns = self.matrix.shape
        return rows, columns

    @property
    def in_features(self) -> int:
        return self.shape[1]

    @property
    def routed(self) -> bool:
        """Does a router decide which tokens it sees?"""
        return self.experts is not None

    def write_(self, matrix: Tensor) -> None:
        """Put `matrix` [out, in] where the weight is stored."""
        self.matrix.copy_(matrix)


def is_linear(module: nn.Module) -> bool:
    """nn.Linear (or a subclass that still computes one) and the transposed Conv1D of GPT-2."""
    return (isinstance(module, torch.nn.Linear) and module.weight.ndim == 2) or _is_conv1d(module)


def _is_conv1d(module: nn.Module) -> bool:
    return isinstance(module, pytorch_utils.Conv1D)
