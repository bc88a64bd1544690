"""The rules of recovery, each written anew in float64: SPP, LoRA's merge, distillation, the learning rate."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from apt_core.families import Layer
from apt_core.maths.spp import Factors
from apt_core.methods.recovery.distill import divergence
from apt_core.methods.recovery.lora import Lora
from apt_core.methods.recovery.spp import Spp
from apt_core.passes.training import rate_at, windows_of


def a_sparse_layer(rows=32, columns=24, seed=0):
    made = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(columns, rows, bias=False))
    weight = torch.randn(rows, columns, generator=made)
    weight[torch.rand(rows, columns, generator=made) < 0.5] = 0
    model[0].weight.data = weight
    return model, [Layer(0, "0", model[0])], weight.clone()


def by_the_paper(weight, A, b, scale):
    """W * (1 + s R(A) b), with R(A) a matrix in which each row of A stands out / r times in a row."""
    repeated = A.repeat_interleave(len(weight) // len(A), dim=0)
    return weight * (1 + scale * repeated * b)


@pytest.mark.parametrize(("rows", "rank"), [(32, 16), (32, 4), (48, 16)])
@pytest.mark.parametrize("turned", [False, True])
def test_spp_is_the_published_product_with_its_gradients(rows, rank, turned):
    torch.manual_seed(1)
    factors = Factors(rows, 24, rank, 2.0, turned)
    factors.b.data = torch.randn(rows, 1)
    weight, slope = torch.randn(rows, 24), torch.randn(rows, 24)
    found = factors(weight.T if turned else weight)
    found = found.T if turned else found
    A, b = (one.detach().double().requires_grad_(True) for one in (factors.A, factors.b))
    wanted = by_the_paper(weight.double(), A, b, 2.0)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)
    (found * slope).sum().backward()
    (wanted * slope.double()).sum().backward()
    torch.testing.assert_close(factors.A.grad.double(), A.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(factors.b.grad.double(), b.grad, rtol=1e-4, atol=1e-4)


def test_spp_begins_at_the_weight_and_is_merged_with_its_zeros():
    """A is uniform within 1 / sqrt(in), b is zero, s is 2 and the rank 16, as in the authors' code."""
    model, layers, weight = a_sparse_layer()
    attached = Spp().attach(model, layers)
    A, b = attached.trained["0.A"], attached.trained["0.b"]
    assert A.shape == (16, 24) and b.shape == (32, 1) and not b.any()
    largest = float(A.detach().abs().max())
    assert largest <= 1 / math.sqrt(24) < 1.3 * largest
    assert torch.equal(model[0].weight, weight)
    b.data = torch.randn(32, 1)
    wanted = by_the_paper(weight.double(), A.detach().double(), b.detach().double(), 2.0)
    assert attached.merge().changed == {"0.weight"}
    torch.testing.assert_close(model[0].weight.detach().double(), wanted, rtol=1e-5, atol=1e-5)
    assert torch.equal(model[0].weight == 0, weight == 0) and not list(model[0].named_buffers())


def test_lora_is_merged_as_b_times_a_and_masked():
    pytest.importorskip("peft")
    model, layers, weight = a_sparse_layer()
    attached = Lora(rank=4, alpha=8).attach(model, layers)
    down, up = (next(one for name, one in attached.trained.items() if part in name) for part in ("_A", "_B"))
    assert down.shape == (4, 24) and up.shape == (32, 4) and not up.any()
    up.data = torch.randn(32, 4)
    update = 8 / 4 * up.detach().double() @ down.detach().double()
    wanted = torch.where(weight == 0, 0.0, weight.double() + update)
    merged = attached.merge()
    torch.testing.assert_close(model[0].weight.detach().double(), wanted, rtol=1e-5, atol=1e-5)
    lost = float(update[weight == 0].square().sum() / update.square().sum())
    assert f"{100 * lost:.1f}%" in merged.note or f"{100 * lost:.0f}%" in merged.note


def test_distillation_is_the_divergence_from_the_dense_distribution():
    torch.manual_seed(2)
    ours, dense = 3 * torch.randn(2, 5, 11), 3 * torch.randn(2, 5, 11)
    p, q = dense.double().softmax(-1), ours.double().softmax(-1)
    wanted = (p * (p / q).log()).sum(-1).mean()
    assert float(divergence(ours, dense)) == pytest.approx(float(wanted), rel=1e-5)
    assert float(divergence(dense, dense)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("steps", "warm_up"), [(200, 0.03), (10, 0.0), (7, 0.5), (1, 0.03)])
def test_the_learning_rate_rises_straight_and_falls_as_a_cosine(steps, warm_up):
    rates = [rate_at(step, steps, warm_up, 0.004) for step in range(1, steps + 1)]
    rising = round(warm_up * steps)
    assert rates[:rising] == pytest.approx([0.004 * (n + 1) / rising for n in range(rising)])
    falling = steps - rising
    cosine = [0.002 * (1 + math.cos(math.pi * n / falling)) for n in range(falling)]
    assert rates[rising:] == pytest.approx(cosine) and max(rates) == pytest.approx(0.004)


def test_every_window_is_read_once_before_any_is_read_again():
    read = [window for step in range(1, 11) for window in windows_of(step, 10, 3, seed=5)]
    for begin in (0, 10, 20):
        assert sorted(read[begin : begin + 10]) == list(range(10))
    assert read[:10] != read[10:20] and read[:3] == windows_of(1, 10, 3, seed=5)
