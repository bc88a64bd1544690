"""Second-order statistics of a linear layer's inputs, and the factor every method shares.

The layer-wise objective is ||dW X||^2 = tr(dW G dW^T) with G = X X^T, so its Hessian is 2 G per row.
The factor 2 and the number of tokens cancel in every formula used here, so G itself is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from apt_core.base.errors import NotPositiveDefinite
from apt_core.maths.output_metric import OutputMetric
from apt_core.maths.precision import bfloat16_products

# A Gram matrix is symmetric: panels of this many rows are computed from the diagonal rightwards only.
_PANEL = 384
# So many tokens are in float32 together while they are added up: a run's memory can be at its peak then.
_TOKENS_AT_ONCE = 1024


class Spectrum(NamedTuple):
    """A dampened Gram matrix scaled to a unit diagonal, with its eigenvalues and vectors."""

    scale: Float[Tensor, "in"]
    normal: Float[Tensor, "in in"]
    values: Float[Tensor, "in"]
    vectors: Float[Tensor, "in in"]


class LayerStats:
    """The Gram matrix of one input, shared by every linear layer that reads that input.

    gram: [in, in] float32, the undamped sum of x x^T over `tokens` input vectors.
    outputs: how much each direction of one layer's output counts; None where the loss's sensitivity is not used.
    `with_sensitivity` gives the statistics of one layer with its own.
    """

    def __init__(self, gram: Float[Tensor, "in in"], tokens: int):
        self._gram = gram
        self._mirrored = True
        self.tokens = tokens
        self.sequences = 0
        self.sums: Tensor | None = None  # [in] of the input vectors, once some were counted
        self.drift: Tensor | None = None  # [in, in] sum of (x_dense - x) x^T, when a dense stream is carried
        self.outputs: OutputMetric | None = None
        self._factors: dict[float, Tensor] = {}
        self._spectra: dict[float, Spectrum] = {}
        self._of_live: list[LayerStats] = []  # one or none

    def with_sensitivity(self, outputs: OutputMetric) -> LayerStats:
        """The same statistics, all factors shared, with the sensitivity of the loss to one layer's output."""
        self.gram  # noqa: B018 - mirrored once, here, and not in every copy
        own = copy.copy(self)
        own.outputs = outputs.to(self._gram.device)
        return own

    def to(self, device: torch.device) -> LayerStats:
        """The same statistics on another device, without the factors that were computed here."""
        own = LayerStats(self.gram.to(device), self.tokens)
        own.sequences = self.sequences
        own.sums = None if self.sums is None else self.sums.to(device)
        own.drift = None if self.drift is None else self.drift.to(device)
        own.outputs = None if self.outputs is None else self.outputs.to(device)
        return own

    @classmethod
    def empty(cls, width: int, device: torch.device | str = "cpu") -> LayerStats:
        return cls(torch.zeros(width, width, dtype=torch.float32, device=device), 0)

    def add_(self, inputs: Tensor) -> None:
        """Accumulate inputs [..., in] of any float dtype, in float32."""
        tokens = inputs.reshape(-1, inputs.shape[-1])
        added = tokens.sum(0, dtype=torch.float32)
        self.sums = added if self.sums is None else self.sums + added
        with bfloat16_products(inputs.dtype == torch.bfloat16):  # exact: the inputs are bfloat16 numbers
            for some in torch.split(tokens, _TOKENS_AT_ONCE):
                rows = some.float()
                add_upper_product_(self._gram, rows.T, rows)
        self.tokens += len(tokens)
        self.sequences += inputs.shape[0] if inputs.ndim == 3 else 1
        self._mirrored = False
        self._forget_factors()

    def include_(self, other: LayerStats) -> None:
        """Count the tokens of other statistics of the same width among these; they drift from nothing."""
        self._gram = self.gram + other.gram
        self.tokens += other.tokens
        if self.sums is not None and other.sums is not None:
            self.sums = self.sums + other.sums
        self.sequences += other.sequences
        self._forget_factors()

    def _forget_factors(self) -> None:
        self._factors.clear()
        self._spectra.clear()
        self._of_live.clear()

    def add_drift_(self, inputs: Tensor, dense_inputs: Tensor) -> None:
        """Accumulate how the dense model's inputs [..., in] to the same layer differ, in float32."""
        tokens = inputs.reshape(-1, inputs.shape[-1])
        if self.drift is None:
            self.drift = torch.zeros_like(self._gram)
        # Of bfloat16 numbers the gap is as good as one.
        with bfloat16_products(inputs.dtype == torch.bfloat16):
            for some, dense in zip(
                torch.split(tokens, _TOKENS_AT_ONCE),
                torch.split(dense_inputs.reshape(tokens.shape), _TOKENS_AT_ONCE),
                strict=True,
            ):
                rows = some.float()
                self.drift += (dense.float() - rows).T @ rows

    @property
    def gram(self) -> Float[Tensor, "in in"]:
        if not self._mirrored:
            self._gram = mirrored(self._gram)
            self._mirrored = True
        return self._gram

    @property
    def dead(self) -> Bool[Tensor, "in"]:
        """True for inputs that were zero on every token: their weights change nothing."""
        return self.gram.diagonal() == 0

    def of_live_inputs(self) -> LayerStats:
        """The statistics of the inputs that are not dead, without the drift; computed once and shared."""
        live = ~self.dead
        if not self._of_live:
            own = LayerStats(self.gram[live][:, live].contiguous(), self.tokens)
            own.sequences = self.sequences
            own.sums = None if self.sums is None else self.sums[live]
            self._of_live.append(own)
        one_layers = copy.copy(self._of_live[0])
        one_layers.outputs = self.outputs
        return one_layers

    def inverse_factor(self, dampening: float) -> Float[Tensor, "in in"]:
        """U, upper triangular, with dampened(G)^-1 = U^T U.

        Computed once per dampening and shared (q, k and v read the same input).
        Raises NotPositiveDefinite.
        """
        if dampening not in self._factors:
            self._factors[dampening] = inverse_factor(dampened(self.gram, dampening), dampening)
        return self._factors[dampening]

    def spectrum(self, dampening: float) -> Spectrum:
        """Of the dampened G; computed once and shared. Raises NotPositiveDefinite."""
        if dampening not in self._spectra:
            self._spectra[dampening] = spectrum(dampened(self.gram, dampening))
        return self._spectra[dampening]


def add_upper_product_(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add the upper triangle (and a little below) of a product that is known to be symmetric."""
    for start in range(0, len(total), _PANEL):
        total[start : start + _PANEL, start:] += left[start : start + _PANEL] @ right[:, start:]


def mirrored(upper: Tensor) -> Tensor:
    """The symmetric matrix of which `upper` holds the upper triangle."""
    kept = upper.triu()
    return kept + kept.triu(1).T


@contextmanager
def factorising(dampening: float | None = None) -> Iterator[None]:
    """What torch.linalg cannot factorise (LAPACK and cuSOLVER alike) raises NotPositiveDefinite inside."""
    try:
        yield
    except torch.linalg.LinAlgError as error:
        raise NotPositiveDefinite(dampening) from error


def spectrum(hessian: Float[Tensor, "in in"]) -> Spectrum:
    """Of a dampened Gram matrix; raises NotPositiveDefinite."""
    scale = hessian.diagonal().sqrt()
    normal = hessian / scale / scale.unsqueeze(1)
    del hessian  # a run's memory is at its peak about here
    with factorising():
        values, vectors = torch.linalg.eigh(normal)
    if not values[0] > 0 or not torch.isfinite(vectors).all():
        raise NotPositiveDefinite
    return Spectrum(scale, normal, values, vectors)


def dampened(gram: Float[Tensor, "in in"], dampening: float) -> Float[Tensor, "in in"]:
    """G + dampening * (mean of the live inputs' diagonal) * I.

    A dead input, whose row and column are zero, gets that mean itself on its diagonal: invertible, apart from all
    others, and of their size whatever the unit of the inputs (`maths.live_inputs` says what goes).
    """
    diagonal = gram.diagonal()
    dead = diagonal == 0
    level = diagonal.sum() / (~dead).sum().clamp_min(1)
    result = gram.clone()
    result.diagonal().add_(dampening * level)
    result.diagonal()[dead] = torch.where(level > 0, level, torch.ones_like(level))
    return result


def inverse_factor(hessian: Float[Tensor, "in in"], dampening: float = 0.0) -> Float[Tensor, "in in"]:
    """U, upper triangular, with hessian^-1 = U^T U; float32, by way of float64 where float32 fails.

    One factorisation of the matrix read backwards gives hessian = V V^T with V upper triangular,
    and then U = V^-1: no explicit inverse, hence fewer digits lost than factorising an inverse.

    Example: hessian = [[2, 1], [1, 2]] has inverse [[2, -1], [-1, 2]] / 3, so
    U = [[0.816, -0.408], [0, 0.707]]; U[0, 0]^2 = 2/3 = [hessian^-1]_00 and
    U[1, 1]^2 = 1/2 = 1 / hessian_11: what is left of a column counts as frozen.

    Raises NotPositiveDefinite.
    """
    for dtype in (torch.float32, torch.float64):
        lower, failed = torch.linalg.cholesky_ex(hessian.to(dtype).flip(0, 1))
        if not failed and torch.isfinite(lower).all():
            upper = lower.flip(0, 1)
            del lower  # a run's memory is at its peak about here
            identity = torch.eye(len(upper), dtype=dtype, device=upper.device)
            inverse: Tensor = torch.linalg.solve_triangular(upper, identity, upper=True)
            return inverse.float()
        if hessian.device.type == "mps":  # no float64 there
            break
    raise NotPositiveDefinite(dampening)
