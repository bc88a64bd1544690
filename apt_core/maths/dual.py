"""The sizes of inputs and outputs that D2Prune's saliency multiplies (arXiv 2601.09176 and its code)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from apt_core.maths.hessian import LayerStats

_SCALE = 1500  # `s` of the authors' scripts


def sizes(
    weight: Float[Tensor, "out in"], stats: LayerStats
) -> tuple[Float[Tensor, "out"], Float[Tensor, "in"], float]:  # noqa: UP037 - jaxtyping's axes
    """(y, x, unit): sizes of outputs and inputs, and the factor that puts G on the scale of their Hessian.

    Over sequences n = 1..N the code keeps y <- y (n - 1)/n + ||Y_n|| / s and
    x <- x (n - 1)/n + sqrt(2/n) ||X_n|| / s, so that

        y = (1/N) sum_n n ||Y_n|| / s            x = (1/N) sum_n sqrt(2 n) ||X_n|| / s

    With one norm for all sequences (their root mean square, which G holds) that is y = ||Y|| (N + 1) / (2 s)
    and x = ||X|| sum_n sqrt(2 n) / (N s). Its Hessian is (2/N) G.
    """
    count = max(stats.sequences, 1)
    per_input = (stats.gram.diagonal().clamp_min(0) / count).sqrt()
    per_output = (((weight @ stats.gram) * weight).sum(dim=1).clamp_min(0) / count).sqrt()
    growth = sum((2 * n) ** 0.5 for n in range(1, count + 1)) / count
    return per_output * (count + 1) / (2 * _SCALE), per_input * growth / _SCALE, 2 / count
