"""What compensated candidates take beside their passes: inverse Gram matrices of the dense model, and solves by them.

kept       (G + lambda I)^-1 in float32 of what each output projection reads, in every block
solving    for each candidate, block and projection with p of its inputs removed: a Cholesky factor of p, as many solves
           as there are outputs, and the product with p rows of the inverse
No torch.
"""

from __future__ import annotations

from apt_core.base.cost import FLOAT, Cost, passes, product
from apt_core.base.shapes import LayerShape
from apt_core.families import readers
from apt_core.jobs import Search
from apt_core.models.catalogue.facts import ModelFacts

_COPIES = 4  # of a weight: in float32, solved, written, and its own put back


def inverses_bytes(job: Search, facts: ModelFacts) -> int:
    """Held as long as candidates are compared."""
    return (facts.blocks or 0) * sum(FLOAT * layer.in_features**2 for layer in _readers(job, facts))


def inverting(job: Search, facts: ModelFacts, tokens: int) -> Cost:
    """Once, from so many tokens that have passed the dense model."""
    cost = Cost()
    for layer in _readers(job, facts):
        width = layer.in_features
        cost += Cost(
            rounded_products=float(tokens * width**2),
            products=product(width, width, width),
            factorisations=4 * width**3 / 3,
            moved=passes(width**2, 6),
        )
    return cost.times(facts.blocks or 0)


def solving_of(job: Search, facts: ModelFacts) -> Cost:
    """Of one candidate, as if each projection lost the share that goes."""
    cost = Cost()
    for layer in _readers(job, facts):
        gone = (1 - job.keep) * layer.in_features
        cost += Cost(
            products=product(layer.out_features, gone, layer.in_features),
            factorisations=gone**3 / 3 + 2 * layer.out_features * gone**2,
            moved=passes(layer.weights, _COPIES),
        )
    return cost.times(facts.blocks or 0)


def _readers(job: Search, facts: ModelFacts) -> list[LayerShape]:
    if job.evolution.judge == "masked":
        return []
    names = readers({layer.name for layer in facts.layers})
    return [layer for layer in facts.layers if layer.name in names]
