"""Next-token statistics from logits: the negative log-likelihood of the true token, and KL between two models.

A row of logits is a vocabulary long and is read several times. On a CPU a few rows at a time stay in its cache: ten of
49,152 logits at a time take a quarter of the time of 325. The sums are the same but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from apt_core.maths.precision import double

_CACHED_BYTES = 2_000_000  # of float32 logits that are worked on together on a CPU
_FLOAT32 = 4


class Apart(NamedTuple):
    """Sums over positions. kl: of KL(p || q) in nats. same: at how many both find the same token most likely."""

    kl: float
    same: int


def negative_log_likelihood(logits: Tensor, targets: Tensor) -> float:
    """The sum of -log p(target), log-softmax in float32. logits: [positions, vocabulary]; targets: [positions]."""
    return sum(
        float(cross_entropy(rows.float(), wanted, reduction="sum"))
        for rows, wanted in _pieces(logits, targets)
    )


def apart(logits: Tensor, others: Tensor) -> Apart:
    """KL(p || q) = sum over tokens t of p(t) (ln p(t) - ln q(t)), p by `logits`, q by `others`.

    Both [positions, vocabulary]. One position of two tokens, p = (3/4, 1/4) and q = (1/4, 3/4): KL is
    3/4 ln 3 - 1/4 ln 3 = 0.549, and the most likely tokens differ.
    """
    kl, same = 0.0, 0
    for ours, theirs in _pieces(logits, others):
        p, q = (rows.float().log_softmax(-1) for rows in (ours, theirs))
        likely = p.exp()
        terms = torch.where(
            likely > 0, likely * (p - q), 0.0
        )  # a token that neither gives is none of the sum
        kl += float(double(terms.sum(-1)).sum())
        same += int((p.argmax(-1) == q.argmax(-1)).sum())
    return Apart(kl, same)


def _pieces(first: Tensor, second: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both cut into the same few rows; whole where they are not on a CPU."""
    rows = max(1, _CACHED_BYTES // (_FLOAT32 * first.shape[-1])) if first.device.type == "cpu" else len(first)
    return zip(torch.split(first, rows), torch.split(second, rows), strict=True)
