"""What a computation takes: work and memory, counted from shapes. Seconds depend on the machine (`estimate`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from apt_core.base.patterns import SemiStructured, Unstructured

FLOAT = 4  # bytes of a float32 number


class Cost(NamedTuple):
    """Work adds up; memory does not, because one part frees what it held before the next begins.

    Example: Cost(products=2, peak=8) + Cost(products=3, peak=4) = Cost(products=5, peak=8).
    """

    # Floating point operations.
    products: float = 0.0  # of matrix products in float32
    rounded_products: float = (
        0.0  # of float32 products whose inputs are rounded to bfloat16 where the run does so
    )
    forward_products: float = 0.0  # of the model's own layers, in the type that its forwards run in
    grams: float = 0.0  # of products added up to Gram matrices: symmetric, so half of a product each
    factorisations: float = 0.0  # of Cholesky and LU factors, triangular solves and inverses
    spectra: float = 0.0  # of eigendecompositions, 9 n^3 each
    # Of other kinds.
    sorted: float = 0.0  # numbers that are sorted in groups, or selected from
    moved: float = 0.0  # bytes read and written by all that goes number by number
    calls: float = 0.0  # operations begun, where they are many and small
    blocks: float = 0.0  # decoder blocks called, whatever they compute
    read_once: float = 0.0  # bytes of weights that one token is multiplied by
    read_by_few: float = 0.0  # bytes of weights that some ten tokens are multiplied by
    peak: float = 0.0  # bytes held at most, beside the layer's weight and the Gram matrix of its inputs

    def __add__(self, other: Cost) -> Cost:  # type: ignore[override]  # a sum, where a tuple would be longer
        work = (mine + theirs for mine, theirs in zip(self[:-1], other[:-1], strict=True))
        return Cost._make([*work, max(self.peak, other.peak)])

    def times(self, repeats: float) -> Cost:
        """The same work so many times over, one after the other."""
        return Cost._make([*(repeats * own for own in self[:-1]), self.peak])


def total(costs: Iterable[Cost]) -> Cost:
    """All of them, one after the other."""
    return sum(costs, Cost())


def product(rows: float, inner: float, columns: float) -> float:
    """Floating point operations of [rows, inner] @ [inner, columns]."""
    return 2.0 * rows * inner * columns


def passes(numbers: float, times: float = 1.0) -> float:
    """Bytes that `times` operations move, each reading and writing so many float32 numbers once."""
    return 2.0 * FLOAT * numbers * times


def selected(numbers: float, pattern: Unstructured | SemiStructured) -> float:
    """Numbers sorted when the smallest are found: the k smallest of many, or in groups, whose numbers are compared in
    pairs."""
    return 0.35 * numbers if isinstance(pattern, SemiStructured) else 1.2 * numbers


def inverse_factor(width: int) -> Cost:
    """U with G^-1 = U^T U (`maths.hessian.inverse_factor`): a Cholesky factor, n^3 / 3, and a triangular solve for
    the identity, n^3."""
    return Cost(factorisations=4 * width**3 / 3, moved=passes(width**2, 6), peak=4.5 * FLOAT * width**2)


def spectrum(width: int) -> Cost:
    """Eigenvalues and vectors of a symmetric matrix (`maths.hessian.spectrum`): about 9 n^3."""
    return Cost(spectra=9.0 * width**3, moved=passes(width**2, 6), peak=5 * FLOAT * width**2)
