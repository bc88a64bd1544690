"""The tail of a spectrum against independent statements of it, in float64 numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from apt_core.maths.outliers import outlier_share
from apt_core.maths.power_law import tail_exponent


def with_spectrum(values, rows, columns, seed=0):
    """[rows, columns] whose W W^T has these eigenvalues."""
    torch.manual_seed(seed)
    left = torch.linalg.qr(torch.randn(rows, rows, dtype=torch.float64)).Q
    right = torch.linalg.qr(torch.randn(columns, columns, dtype=torch.float64)).Q
    middle = torch.zeros(rows, columns, dtype=torch.float64)
    middle[: len(values), : len(values)] = torch.diag(torch.tensor(values, dtype=torch.float64).sqrt())
    return (left @ middle @ right).float()


def hill(values, start):
    values = np.sort(np.asarray(values, dtype=np.float64))
    n = len(values) - start
    return 1 + n / (np.log(values[start:]).sum() - n * np.log(values[start]))


@pytest.mark.parametrize("shape", [(64, 64), (40, 90), (90, 41)])
def test_mid_is_the_hill_estimate_over_the_larger_half(shape):
    torch.manual_seed(1)
    weight = torch.randn(shape)
    values = np.linalg.svd(weight.double().numpy(), compute_uv=False) ** 2
    assert tail_exponent(weight, "mid") == pytest.approx(hill(values, len(values) // 2), rel=1e-4)


@pytest.mark.parametrize("alpha", [1.8, 2.5, 4.0])
@pytest.mark.parametrize("fit", ["mid", "peak"])
def test_a_power_law_is_found_again(alpha, fit):
    """Quantiles of p(lambda) ~ lambda^-alpha on [1, inf)."""
    quantiles = (np.arange(600) + 0.5) / 600
    weight = with_spectrum((1 - quantiles) ** (-1 / (alpha - 1)), 600, 620)
    assert tail_exponent(weight, fit) == pytest.approx(alpha, rel=0.12)


def test_peak_takes_the_beginning_with_the_smallest_distance():
    """The same search, written out over numpy."""
    torch.manual_seed(3)
    weight = torch.randn(80, 120) * torch.logspace(-1, 1, 80)[:, None]
    values = np.sort(np.linalg.svd(weight.double().numpy(), compute_uv=False) ** 2)
    counts, edges = np.histogram(np.log10(values), bins=100)
    peak = 10 ** edges[counts.argmax()]
    best = (np.inf, None)
    for start in np.flatnonzero((values <= 1.5 * peak) & (values >= np.log10(0.95 * peak))):
        tail = values[start:]
        if len(tail) <= 2:
            continue
        alpha = hill(values, start)
        gap = np.abs(1 - (tail / tail[0]) ** (1 - alpha) - np.arange(len(tail)) / len(tail)).max()
        best = min(best, (gap, alpha))
    assert tail_exponent(weight, "peak") == pytest.approx(best[1], rel=1e-3)


@pytest.mark.parametrize("fit", ["mid", "peak"])
@pytest.mark.parametrize("weight", [torch.zeros(8, 8), torch.eye(8), torch.ones(1, 8), torch.zeros(3, 1)])
def test_degenerate_matrices_have_a_number(weight, fit):
    assert not np.isnan(tail_exponent(weight, fit))


def test_outliers_are_counted_over_the_whole_block():
    weights = [torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0], [-9.0]])]
    energies = [torch.ones(2), torch.ones(1)]
    assert outlier_share(weights, energies, 2.0) == 0.25 and outlier_share(weights, energies, 3.0) == 0.0
    strong = [torch.tensor([100.0, 1.0]), torch.ones(1)]  # an input ten times as strong
    assert outlier_share(weights, strong, 1.5) == 0.5
