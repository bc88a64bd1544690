"""The optimal compensation of a whole layer at once, for a given mask, by conjugate gradients.

Minimises tr(S (W' - W) G (W' - W)^T) over W' that are zero where pruned. With S = I every row is a problem of
its own, `compensate.full_compensation` as steps grow; with another S the rows are tied together, and one weight
can make up for what another row lost.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.maths.compensate import conjugate_gradients
from apt_core.maths.hessian import Spectrum
from apt_core.maths.output_metric import OutputMetric
from apt_core.maths.zeros import zeroed_

_TOLERANCE = 1e-6


def joint_solution(
    weight: Float[Tensor, "out in"],
    pruned: Bool[Tensor, "out in"],
    hessian: Float[Tensor, "in in"],
    steps: int,
    start: Float[Tensor, "out in"],
) -> Float[Tensor, "out in"]:
    """S = I. Whole rows are badly conditioned (unlike blocks), so it matters to begin near the end: `start` is
    the weight that the search for the mask arrived at.
    """
    solved, _ = conjugate_gradients(hessian, weight @ hessian, ~pruned, _TOLERANCE, steps, start)
    return zeroed_(solved, pruned)


def tied_solution(
    weight: Float[Tensor, "out in"],
    pruned: Bool[Tensor, "out in"],
    inputs: Spectrum,
    outputs: OutputMetric,
    steps: int,
    start: Float[Tensor, "out in"],
) -> Float[Tensor, "out in"]:
    """S of `outputs`: all kept weights of the layer are one system, preconditioned by its diagonal."""
    scale = inputs.scale * outputs.scale
    inside = (~pruned).to(weight.dtype)

    def image(direction: Tensor) -> Tensor:
        return outputs.times(direction @ inputs.normal).mul_(inside)

    solution = start * scale * inside
    residual = image(weight * scale - solution)
    direction, energy = residual.clone(), residual.square().sum()
    enough = energy * _TOLERANCE**2
    for _ in range(steps):
        if energy <= enough:
            break
        moved = image(direction)
        step = energy / (direction * moved).sum().clamp_min(1e-30)
        solution.addcmul_(direction, step)
        residual.addcmul_(moved, -step)
        before, energy = energy, residual.square().sum()
        direction = torch.addcmul(residual, direction, energy / before)
    return zeroed_(solution / scale, pruned)
