"""How heavy the tail of a weight matrix's spectrum is (arXiv 2410.10912, after heavy-tailed self-regularisation).

With the eigenvalues lambda_1 <= ... <= lambda_N of W W^T, the exponent of a power law p(lambda) ~ lambda^-alpha that
holds from lambda_i on is estimated by maximum likelihood (Hill) over the n = N - i largest:

    alpha(i) = 1 + n / (sum_{k > i} ln lambda_k - n ln lambda_i)

A large alpha is a light tail: a layer that has learned less, of which more can go.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

TailFit = Literal["mid", "peak"]
_SMALLEST = 1e-30  # stands for an eigenvalue of 0
_BINS = 100
_FEWEST = 2  # eigenvalues of a tail


def tail_exponent(weight: Float[Tensor, "out in"], fit: TailFit = "mid") -> float:
    """alpha of a weight matrix, infinite where no eigenvalue of the tail is larger than another.

    `mid`: the tail is the larger half of the spectrum. `peak`: it begins near the mode of ln lambda, where the power
    law fits best by Kolmogorov-Smirnov distance.
    """
    tall = weight if weight.shape[0] >= weight.shape[1] else weight.T  # in a third of the time, on a CPU
    singular = torch.linalg.svdvals(tall.float()).cpu()  # few numbers, looked at one by one
    values = singular.double().square().clamp_min(_SMALLEST).sort().values
    if len(values) <= _FEWEST:
        return 1.0
    return _hill(values, len(values) // 2) if fit == "mid" else _best_fit(values)


def _hill(values: Float[Tensor, n], start: int) -> float:
    """The exponent of the tail values[start:], given ascending."""
    logs = values[start:].log()
    spread = float((logs - logs[0]).sum())
    return 1 + len(logs) / spread if spread > 0 else float("inf")


def _best_fit(values: Float[Tensor, n]) -> float:
    """Of all beginnings around the fullest bin of log10 lambda, that with the smallest distance."""
    fits = [(_distance(values, start), _hill(values, start)) for start in _beginnings(values)]
    return min(fits)[1] if fits else _hill(values, len(values) // 2)


def _beginnings(values: Float[Tensor, n]) -> list[int]:
    """Places whose eigenvalue lies between log10(0.95 peak) and 1.5 peak, as in the authors' code."""
    logs = values.log10()
    counts = torch.histc(logs, _BINS)
    low, high = float(logs[0]), float(logs[-1])
    peak = 10 ** (low + int(counts.argmax()) * (high - low) / _BINS)
    upper, lower = 1.5 * peak, float(torch.tensor(0.95 * peak).log10())
    inside = (values <= upper) & (values >= lower)
    return [int(place) for place in inside.nonzero().flatten() if place < len(values) - _FEWEST]


def _distance(values: Float[Tensor, n], start: int) -> float:
    """max over the tail of |1 - (lambda / lambda_start)^(1 - alpha) - k / n|."""
    alpha, tail = _hill(values, start), values[start:]
    if alpha == float("inf"):
        return float("inf")
    fitted = 1 - (tail / tail[0]).pow(1 - alpha)
    seen = torch.arange(len(tail), dtype=torch.float64) / len(tail)
    return float((fitted - seen).abs().max())
