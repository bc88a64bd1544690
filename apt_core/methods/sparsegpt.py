"""SparseGPT: one column at a time, the columns to its right make up for it (arXiv 2301.00774)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from apt_core.methods.base import Dampening, Method, Pruned
from apt_core.patterns import SemiStructured, Unstructured

if TYPE_CHECKING:
    from torch import Tensor

    from apt_core.maths.hessian import LayerStats


class SparseGPT(Method):
    """Algorithm 1 of the paper: masks per column block (or N:M group), then sequential updates."""

    name: ClassVar[str] = "sparsegpt"
    title: ClassVar[str] = "SparseGPT"
    source: ClassVar[str] = "Frantar & Alistarh 2023, arXiv 2301.00774"
    summary: ClassVar[str] = (
        "Removes weights column by column and lets the columns to the right make up for each; "
        "what is left of a column is never revised."
    )

    block_size: int = Field(
        default=128, ge=16, le=4096, title="Block size", description="Columns whose mask is chosen together"
    )
    dampening: Dampening = 0.01

    def prune(self, weight: Tensor, stats: LayerStats, pattern: Unstructured | SemiStructured) -> Pruned:
        import torch

        from apt_core.maths import pattern as patterns

        patterns.check_fits(weight.shape[1], pattern)
        factor = stats.inverse_factor(self.dampening)
        work = weight.float().clone()
        dead = stats.dead
        pruned = torch.zeros_like(work, dtype=torch.bool)
        for start, stop in patterns.column_blocks(work.shape[1], self.block_size, pattern):
            errors = _prune_block_(work, pruned, factor, dead, start, stop, pattern)
            work[:, stop:] -= errors @ factor[start:stop, stop:]
        return Pruned(work.masked_fill_(pruned, 0), pruned, self.dampening)


def _prune_block_(work, pruned, factor, dead, start, stop, pattern) -> Tensor:
    """Prune columns start..stop of `work` in place; the errors [out, stop - start] still to be spread right."""
    import torch

    from apt_core.maths import pattern as patterns
    from apt_core.maths import saliency

    block_factor, dead = factor[start:stop, start:stop], dead[start:stop]
    gone = torch.zeros(stop - start, len(work), dtype=torch.bool, device=work.device)
    if isinstance(pattern, Unstructured):
        scores = saliency.obs(work[:, start:stop], block_factor).masked_fill(dead, 0)
        gone |= patterns.lowest(scores, patterns.block_budget(len(work), start, stop, pattern.sparsity)).T
    columns = work[:, start:stop].T.contiguous()  # [b, out]: one column of the matrix lies together
    errors = torch.zeros_like(columns)
    for column in range(stop - start):
        if isinstance(pattern, SemiStructured) and column % pattern.of == 0:
            group = slice(column, column + pattern.of)
            scores = saliency.obs(columns[group].T, block_factor[group, group]).masked_fill(dead[group], 0)
            gone[group] = patterns.lowest_per_group(scores.contiguous(), pattern.keep, pattern.of).T
        torch.mul(columns[column], gone[column], out=errors[column])
        errors[column] /= block_factor[column, column]
        columns[column:].addr_(block_factor[column, column:], errors[column], alpha=-1)
    work[:, start:stop] = columns.T
    pruned[:, start:stop] = gone.T
    return errors.T
