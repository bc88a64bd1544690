"""Sums over logits are those of the definition in float64, however few rows fit at a time."""

from __future__ import annotations

import math

import pytest
import torch

from apt_core.maths import next_tokens
from apt_core.maths.next_tokens import apart, negative_log_likelihood


@pytest.fixture(params=[1, 4 * 50 * 3, 2_000_000], ids=["a row at a time", "three rows", "all rows"])
def cached_bytes(request, monkeypatch):
    monkeypatch.setattr(next_tokens, "_CACHED_BYTES", request.param)


def logits(seed, positions=17, vocabulary=50, dtype=torch.float32):
    return (4 * torch.randn(positions, vocabulary, generator=torch.Generator().manual_seed(seed))).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("positions", [0, 1, 17])
def test_they_are_the_definitions(cached_bytes, dtype, positions):
    ours, theirs = logits(0, positions, dtype=dtype), logits(1, positions, dtype=dtype)
    targets = torch.arange(positions) % 50
    p, q = (
        torch.exp(rows.double() - torch.logsumexp(rows.double(), 1, keepdim=True)) for rows in (ours, theirs)
    )
    assert negative_log_likelihood(ours, targets) == pytest.approx(
        -float(p[torch.arange(positions), targets].log().sum()), rel=1e-6
    )
    found = apart(ours, theirs)
    assert found.kl == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-5)
    assert found.same == int((p.argmax(1) == q.argmax(1)).sum())


def test_a_token_that_neither_model_gives_is_none_of_the_sum():
    masked = torch.tensor([[0.0, 0.0, -torch.inf]])
    assert apart(masked, masked) == (0.0, 1)
    assert apart(masked, torch.tensor([[math.log(3), 0.0, -torch.inf]])).kl == pytest.approx(
        0.5 * math.log(4 / 3)
    )


def test_the_example_of_the_docstring():
    p, q = torch.tensor([[0.75, 0.25]]).log(), torch.tensor([[0.25, 0.75]]).log()
    assert apart(p, q) == (pytest.approx(0.5 * math.log(3)), 0)
    assert apart(p, p) == (pytest.approx(0), 1)
