"""Float64 where a device has none; and matrix products of float32 tensors by way of bfloat16, where the inputs lose
nothing or little by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def double(values: Tensor) -> Tensor:
    """In float64, on the CPU where the device has none (Apple's)."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


@contextmanager
def bfloat16_products(wanted: bool) -> Iterator[None]:
    """Inside, float32 products on a CPU round their inputs to bfloat16 and still add up in float32.

    For inputs that are bfloat16 numbers already (the hidden states of a bfloat16 model) the result is
    that of float32, several times sooner on CPUs with the instructions. Other devices are left alone:
    there float32 products are what the user's settings say.
    """
    setting = getattr(torch.backends.mkldnn, "matmul", None)  # torch 2.9 and later
    if not wanted or setting is None:
        yield
        return
    before = setting.fp32_precision
    setting.fp32_precision = "bf16"
    try:
        yield
    finally:
        setting.fp32_precision = before
