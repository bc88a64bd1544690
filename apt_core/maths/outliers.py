"""How many saliencies of a decoder block stand out (arXiv 2310.05175, Layerwise Outlier Distribution)."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from apt_core.maths.precision import double


def outlier_share(
    weights: Sequence[Float[Tensor, "_ _"]], energies: Sequence[Tensor], threshold: float
) -> float:
    """The fraction of |w_ij| ||x_j|| over all layers of a block that exceeds `threshold` times their mean.

    weights: [out, in] each; energies: [in] each, the sums of squares of the layer's inputs.

    Example: saliencies 1, 1, 1, 9 have the mean 3: above 2 x 3 lies one of four, 0.25.
    """
    saliencies = [weight.abs() * energy.sqrt() for weight, energy in zip(weights, energies, strict=True)]
    count = sum(saliency.numel() for saliency in saliencies)
    mean = sum(float(double(saliency).sum()) for saliency in saliencies) / max(count, 1)
    above = sum(int((saliency > threshold * mean).sum()) for saliency in saliencies)
    return above / max(count, 1)
