"""What the components share that solve one block of columns after the other (`maths.block_wise`)."""

from __future__ import annotations

from pydantic import Field

from apt_core.base.cost import FLOAT, Cost, passes, product
from apt_core.base.patterns import SemiStructured, Unstructured
from apt_core.base.shapes import LayerShape
from apt_core.methods.component import Component, Statistic

# Conjugate gradient steps that one block's system takes to float32's end (`maths.compensate`).
_STEPS = 17


class ColumnBlocks(Component):
    """The Multiple Removal Problem of one block at a time, left to right."""

    block_size: int = Field(
        default=256,
        ge=16,
        le=4096,
        title="Block size",
        description="Columns whose removals are solved together",
    )

    @property
    def needs(self) -> frozenset[Statistic]:
        return frozenset({Statistic.GRAM, Statistic.INVERSE_FACTOR})

    def cost(self, shape: LayerShape, tokens: int, pattern: Unstructured | SemiStructured) -> Cost:
        """Half a product with U for the update to the right, and one system of the block's width for all rows, of which
        each step also touches every number twenty-two times; the choice of what goes is the mask's own."""
        rows, width = shape.out_features, shape.in_features
        block = min(self.block_size, width)
        return Cost(
            products=product(rows, width, width) / 2 + _STEPS * product(rows, width, block),
            moved=passes(shape.weights, 11 * _STEPS + 6),
            calls=12 * _STEPS * -(-width // block),
            peak=FLOAT * (2 * shape.weights + 6 * rows * block),
        )
