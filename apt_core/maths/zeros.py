"""Exact zeros where a mask says so, without a branch for every number."""

from __future__ import annotations

import torch
from torch import Tensor

_BY_CHANCE = 0.01  # of a dense weight, at most: what rounding to few bits leaves at zero


def zeroed_(values: Tensor, where: Tensor) -> Tensor:
    """`values`, in place, 0 where `where` (of a shape that broadcasts to theirs) is True, whatever was there.

    As `masked_fill_(where, 0)`, whose branches a mask without order makes slow on a CPU: 0.6 ms in place of 0.05 for
    a float32 [576, 576], half of it removed. Products of the bits as integers leave no -0 and no NaN behind.
    """
    if values.device.type != "cpu" or values.dtype != torch.float32 or values.requires_grad:
        return values.masked_fill_(where, 0)
    values.view(torch.int32).mul_(~where)
    return values


def zeroed(values: Tensor, where: Tensor) -> Tensor:
    """The same of a copy."""
    return zeroed_(values.clone(), where)


def not_zeroed(weight: Tensor) -> Tensor | None:
    """Where a weight that was pruned before is not zero; None of one with hardly any zeros, which nobody made."""
    free = weight != 0
    return free if int(free.sum()) < (1 - _BY_CHANCE) * free.numel() else None
