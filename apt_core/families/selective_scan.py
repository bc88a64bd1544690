"""Mamba's selective scan with a backward pass of its own: for gradients of the loss, and for training on a CPU.

    state_t = exp(A dt_t) state_(t-1) + dt_t x_t B_t^T        y_t = state_t C_t

The loop of transformers takes slices of whole-sequence tensors; autograd answers each with a whole-sequence
gradient, so a backward pass costs length^2. Here a step costs a step, and only the states are kept.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

_SCANNING = ("mamba", "falcon_mamba", "jamba")  # packages of transformers with such a function
_SCAN = "mamba_selective_scan"


class _Scan(torch.autograd.Function):
    """x, dt: [length, batch, inner]; A: [inner, state]; B, C: [length, batch, state]. Returns y like x."""

    @staticmethod
    def forward(ctx, x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        states = x.new_zeros(len(x) + 1, *x.shape[1:], A.shape[1])
        y = torch.empty_like(x)
        for t in range(len(x)):
            torch.mul(torch.exp(A * dt[t][..., None]), states[t], out=states[t + 1])
            states[t + 1].addcmul_((dt[t] * x[t])[..., None], B[t][:, None])
            y[t] = torch.matmul(states[t + 1], C[t][..., None])[..., 0]
        ctx.save_for_backward(x, dt, A, B, C, states)
        return y

    @staticmethod
    def backward(ctx, of_y: Tensor) -> tuple[Tensor, ...]:
        x, dt, A, B, C, states = ctx.saved_tensors
        of_x, of_dt, of_A, of_B, of_C = (torch.zeros_like(tensor) for tensor in (x, dt, A, B, C))
        of_state = torch.zeros_like(states[0])
        for t in reversed(range(len(x))):
            of_state.addcmul_(of_y[t][..., None], C[t][:, None])
            of_C[t] = torch.matmul(of_y[t][:, None], states[t + 1])[:, 0]
            of_B[t] = torch.matmul((dt[t] * x[t])[:, None], of_state)[:, 0]
            of_input = torch.matmul(of_state, B[t][..., None])[..., 0]  # of dt_t x_t
            of_x[t] = of_input * dt[t]
            of_state *= torch.exp(A * dt[t][..., None])
            of_decay = of_state * states[t]  # of A dt_t
            of_dt[t] = of_input * x[t] + (of_decay * A).sum(-1)
            of_A += (of_decay * dt[t][..., None]).sum(0)
        return of_x, of_dt, of_A, of_B, of_C


def selective_scan(x, dt, A, B, C, D=None, z=None, delta_bias=None, **_) -> Tensor:
    """What the models call without a cache: x, dt, z [batch, inner, length]; B, C [batch, state, length]."""
    dt = functional.softplus(dt.float() + delta_bias.float()[..., None])
    by_time = [tensor.float().permute(2, 0, 1).contiguous() for tensor in (x, dt, B, C)]
    y = _Scan.apply(by_time[0], by_time[1], A, by_time[2], by_time[3]).permute(1, 2, 0)
    return (y + x * D[:, None]) * functional.silu(z)


@contextmanager
def differentiable_scans() -> Iterator[None]:
    """While open, the families with a selective scan compute it by `selective_scan`."""
    names = (f"transformers.models.{name}.modeling_{name}" for name in _SCANNING)
    found = [sys.modules[name] for name in names if name in sys.modules]  # of the others no model is here
    theirs = [getattr(module, _SCAN) for module in found]
    for module in found:
        setattr(module, _SCAN, selective_scan)
    try:
        yield
    finally:
        for module, scan in zip(found, theirs, strict=True):
            setattr(module, _SCAN, scan)
