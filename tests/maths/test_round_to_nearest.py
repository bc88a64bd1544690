"""Rounding against the textbook's statement, a group at a time in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from apt_core.maths.round_to_nearest import round_to_nearest, stored_bits


def textbook(row: np.ndarray, bits: int, symmetric: bool) -> np.ndarray:
    """One group in float64, its scale as float16 holds it."""
    row = row.astype(np.float64)
    if symmetric:
        top = 2 ** (bits - 1) - 1
        scale = np.float64(np.float16(np.abs(row).max() / top))
        return np.clip(np.rint(row / scale), -top, top) * scale
    top = 2**bits - 1
    low, high = min(row.min(), 0.0), max(row.max(), 0.0)
    scale = np.float64(np.float16((high - low) / top))
    zero = np.clip(np.rint(-low / scale), 0, top)
    return (np.clip(np.rint(row / scale) + zero, 0, top) - zero) * scale


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("width", "group"), [(128, 128), (256, 64), (100, 32), (20, 128)])
def test_every_group_is_rounded_as_the_textbook_says(bits, symmetric, width, group):
    weight = torch.randn(6, width, generator=torch.Generator().manual_seed(bits)) * 0.03 + 0.01
    found = round_to_nearest(weight, bits, group, symmetric)
    for row, ours in zip(weight.numpy(), found.numpy(), strict=True):
        for start in range(0, width, group):
            part = slice(start, start + group)
            expected = textbook(row[part], bits, symmetric)
            apart = np.abs(ours[part] - expected)
            step = np.abs(row[part]).max() / 2 ** (bits - 1) * 2.1
            # a value on the border between two steps may go either way in float32
            assert (apart > 1e-6).sum() <= 1 and apart.max() <= step


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_zeros_stay_zeros_and_no_weight_moves_by_more_than_half_a_step(bits, symmetric):
    weight = torch.randn(32, 256, generator=torch.Generator().manual_seed(3))
    weight[:, ::2] = 0
    weight[0] = 0  # a whole row
    found = round_to_nearest(weight, bits, 128, symmetric)
    assert not found[:, ::2].any() and not found[0].any() and found.isfinite().all()
    spread = 2 * weight.abs().max() if symmetric else weight.max() - weight.min()
    assert (found - weight).abs().max() <= 0.51 * spread / (2**bits - 2)


def test_more_bits_and_smaller_groups_are_closer():
    weight = torch.randn(64, 512, generator=torch.Generator().manual_seed(5))
    error = {
        (bits, group): float((round_to_nearest(weight, bits, group) - weight).square().mean())
        for bits in (4, 8)
        for group in (32, 128, 512)
    }
    assert error[8, 128] < error[4, 128] / 100
    assert error[4, 32] < error[4, 128] < error[4, 512]


def test_sixteen_levels_at_most():
    weight = torch.randn(1, 128, generator=torch.Generator().manual_seed(6))
    assert len(round_to_nearest(weight, 4, 128).unique()) <= 15
    assert len(round_to_nearest(weight, 4, 128, symmetric=False).unique()) <= 16


def test_scales_are_counted():
    assert stored_bits(10, 1280, 4, 128) / 12800 == 4.125
    assert stored_bits(10, 1280, 8, 128) / 12800 == 8.125
    assert stored_bits(10, 1280, 4, 128, symmetric=False) / 12800 == 4.15625
    assert stored_bits(1, 576, 4, 128) == 576 * 4 + 5 * 16  # the last group is half as long
    assert stored_bits(1, 128, 8, 128, kept=64) == 128 + 64 * 8 + 16
    assert stored_bits(1, 128, 4, 128, kept=128) == 128 * 4 + 16  # a mask would only cost
