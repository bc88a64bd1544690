"""The product of SPP and its gradients, without a matrix of factors that waits for the way back."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


class Factors(nn.Module):
    """A and b of one weight; called with W it gives W * (1 + s R(A) b)."""

    def __init__(self, rows: int, columns: int, rank: int, scale: float, turned: bool = False):
        super().__init__()
        self.A = nn.Parameter(torch.empty(rank, columns))
        self.b = nn.Parameter(torch.zeros(rows, 1))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self._scale, self._turned = scale, turned

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.T if self._turned else weight
        scaled: Tensor = _Scaled.apply(matrix, self.A, self.b, self._scale)  # type: ignore[no-untyped-call]  # torch's
        return scaled.T if self._turned else scaled


class _Scaled(torch.autograd.Function):
    """W * (1 + s R(A) b). Only W, A and b are kept, so no matrix as large as W waits."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, A: Tensor, b: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(weight, A, b)
        ctx.scale = scale
        return (weight.view(A.shape[0], -1, A.shape[1]) * _factor(A, b, scale)).view(weight.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, None]:
        """dA = s sum over a slab of (g W b), db = s sum over inputs of (g W R(A))."""
        weight, A, b = ctx.saved_tensors
        slabs = (gradient * weight).view(A.shape[0], -1, A.shape[1])
        of_A = torch.einsum("roi,ro->ri", slabs, b.view(A.shape[0], -1))
        of_b = torch.einsum("roi,ri->ro", slabs, A)
        return None, ctx.scale * of_A, ctx.scale * of_b.reshape(-1, 1), None


def _factor(A: Tensor, b: Tensor, scale: float) -> Tensor:
    """1 + s R(A) b, [rank, out / rank, in]"""
    return A[:, None, :] * (scale * b.view(A.shape[0], -1, 1)) + 1
