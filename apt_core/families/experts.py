"""Experts that transformers stores as one tensor [experts, out, in], called one matrix at a time.

Transformers multiplies with slices of the fused tensor, so there is no module of an expert that a hook could
halt. Here every matrix of every expert becomes an nn.Linear that shares the memory of its slice; while a
block is calibrated, the fused module's forward is replaced by one that calls them (`ExpertsProxy`). What is
written to such a linear layer is written to the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeGuard

import torch
from torch import Tensor, nn

_OF_AN_EXPERT = ("gate_up_proj", "up_proj", "down_proj")  # in the order in which they are called


class FusedExperts(nn.Module):
    """The interface, for type checkers: transformers gives it to many classes and has no name for it."""

    num_experts: int
    is_transposed: bool
    has_gate: bool
    has_bias: bool
    has_post_expert_norm: bool
    act_fn: Callable[[Tensor], Tensor]
    post_expert_norm: Callable[[Tensor], Tensor]
    _apply_gate: Callable[[Tensor], Tensor]


def is_fused(module: nn.Module) -> TypeGuard[FusedExperts]:
    """A module that follows transformers' interface of experts (`use_experts_implementation`)."""
    return hasattr(module, "is_transposed") and hasattr(module, "has_gate") and hasattr(module, "num_experts")


def matrices(experts: FusedExperts) -> Iterator[tuple[str, nn.Linear]]:
    """('3.gate_up_proj', a linear layer that shares its memory), expert after expert."""
    names = [name for name in _OF_AN_EXPERT if getattr(experts, name, None) is not None]
    for number in range(experts.num_experts):
        for name in names:
            yield f"{number}.{name}", _sharing(experts, name, number)


def _sharing(experts: FusedExperts, name: str, number: int) -> nn.Linear:
    weight = getattr(experts, name).data[number]
    bias = getattr(experts, f"{name}_bias").data[number] if experts.has_bias else None
    linear = nn.Linear(1, 1, bias=experts.has_bias, device="meta")  # nothing is allocated
    linear.weight = nn.Parameter(weight.T if experts.is_transposed else weight, requires_grad=False)
    linear.out_features, linear.in_features = linear.weight.shape
    if bias is not None:
        linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear


class ExpertsProxy:
    """Until `remove`, `experts` computes by `linears`, its own matrices as modules."""

    def __init__(self, experts: FusedExperts, linears: Mapping[str, nn.Module]):
        self._experts = experts
        self._linears = linears
        self._first = "gate_up_proj" if experts.has_gate else "up_proj"
        self._before = experts.__dict__.get("forward")  # a hook of accelerate, where there is one
        experts.forward = self.forward

    def remove(self) -> None:
        del self._experts.forward  # the class's own is there again
        if self._before is not None:
            self._experts.forward = self._before

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        """hidden_states: [tokens, hidden]; top_k_index, top_k_weights: [tokens, experts per token]."""
        dtype = torch.promote_types(hidden_states.dtype, top_k_weights.dtype)
        total = torch.zeros_like(hidden_states, dtype=dtype)
        for number in range(self._experts.num_experts):
            token, place = torch.where(top_k_index == number)
            if len(token):
                answer = self._of_expert(number, hidden_states[token])
                total.index_add_(0, token, (answer * top_k_weights[token, place, None]).to(dtype))
        return total.to(hidden_states.dtype)

    def _of_expert(self, number: int, inputs: Tensor) -> Tensor:
        experts = self._experts
        inner = self._linears[f"{number}.{self._first}"](inputs)
        inner = experts._apply_gate(inner) if experts.has_gate else experts.act_fn(inner)
        answer = self._linears[f"{number}.down_proj"](inner)
        return experts.post_expert_norm(answer) if experts.has_post_expert_norm else answer
